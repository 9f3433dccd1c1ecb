"""Samples in rounds, and what is said about them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")


def timed(action: Callable[[T], object], items: Iterable[T]) -> list[float]:
    """Seconds that `action` takes for each item, one after the other."""
    taken = []
    for item in items:
        began = time.perf_counter()
        action(item)
        taken.append(time.perf_counter() - began)
    return taken


@dataclass
class Series:
    """What one variant took, in seconds, round by round."""

    rounds: list[list[float]] = field(default_factory=list)

    def add(self, taken: Sequence[float]) -> None:
        """One more round."""
        self.rounds.append(list(taken))

    @property
    def samples(self) -> list[float]:
        """All samples of all rounds."""
        return [one for taken in self.rounds for one in taken]

    @property
    def medians(self) -> list[float]:
        """The median of each round."""
        return [statistics.median(taken) for taken in self.rounds]

    @property
    def rate(self) -> float:
        """Calls per second of the middle round, when they follow one another without a pause."""
        return statistics.median(len(taken) / sum(taken) for taken in self.rounds)

    def percentile(self, share: float) -> float:
        """The sample below which this share of all lies (nearest rank)."""
        ordered = sorted(self.samples)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def ratio(ours: Series, theirs: Series) -> float:
    """How many times as long ours takes: the median over the rounds of the ratio of medians."""
    pairs = zip(ours.medians, theirs.medians, strict=True)
    return statistics.median(mine / other for mine, other in pairs)


class Samples:
    """All series of a run by name, and figures that are no times of calls."""

    def __init__(self) -> None:
        self._series: dict[str, Series] = {}
        self._figures: dict[str, list[float]] = {}

    def __getitem__(self, name: str) -> Series:
        return self._series[name]

    def __contains__(self, name: str) -> bool:
        return name in self._series or name in self._figures

    def items(self) -> Iterable[tuple[str, Series]]:
        """Names and series, in the order in which they were first measured."""
        return self._series.items()

    def add(self, name: str, taken: Sequence[float]) -> None:
        """One more round of a series."""
        self._series.setdefault(name, Series()).add(taken)

    def note(self, name: str, value: float) -> None:
        """One more value of a figure."""
        self._figures.setdefault(name, []).append(value)

    def figure(self, name: str) -> float:
        """The middle one of a figure's values."""
        return statistics.median(self._figures[name])

    def figures(self) -> Mapping[str, Sequence[float]]:
        """All values of all figures."""
        return self._figures


def in_turns(variants: Sequence[T], rounds: int) -> Iterable[T]:
    """Each variant once a round, in an order that is turned around from round to round."""
    for number in range(rounds):
        yield from variants if number % 2 == 0 else reversed(variants)
