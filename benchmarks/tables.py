"""What a report is made of: tables of lines, and aims."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.samples import Series

#: What the gate's verbs are compared with.
PING = "PING"

#: Samples without which nothing is said about the slowest ones.
_ENOUGH = 100


@dataclass(frozen=True)
class Table:
    """Rows that belong together, each with a name and a cell for each column."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    #: `one / another` -> how many times as long it takes; for machines
    ratios: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Aim:
    """What this system wants to reach, and where it stands."""

    what: str
    value: float
    bound: float
    unit: str
    #: the bound is the least that is wanted, not the most
    is_least: bool = False

    @property
    def is_met(self) -> bool:
        """Whether the value is on the right side of the bound."""
        return self.value >= self.bound if self.is_least else self.value <= self.bound

    def __str__(self) -> str:
        verdict = "met" if self.is_met else "NOT MET"
        side = "at least" if self.is_least else "at most"
        return (
            f"{self.what}: {_round(self.value)} {self.unit} "
            f"(aim: {side} {self.bound:,g} {self.unit}): {verdict}"
        )


@dataclass(frozen=True)
class Line:
    """A row about calls: what was measured, and how it compares."""

    what: str
    series: Series
    #: what it is compared with, and how many times as long it takes
    ratios: tuple[tuple[str, float], ...] = ()
    #: None where one does not follow the other without a pause
    per_second: float | None = None

    @property
    def beside(self) -> str:
        """The comparisons in words. With PING it is usual to compare rates: 0.5 xPING."""
        return ", ".join(
            f"{1 / times:.2f} xPING" if other == PING else f"{times:.2f} x {other}"
            for other, times in self.ratios
        )

    @property
    def cells(self) -> tuple[str, ...]:
        """One for each column of `timings`."""
        return (
            *percentiles(self.series),
            "" if self.per_second is None else f"{self.per_second:,.0f}",
            self.beside,
        )


def timings(title: str, lines: Sequence[Line]) -> Table:
    """A table of times of calls."""
    return Table(
        title,
        ("p50 ms", "p95 ms", "p99 ms", "per second", "beside"),
        tuple((line.what, *line.cells) for line in lines),
        {f"{line.what} / {other}": times for line in lines for other, times in line.ratios},
    )


def percentiles(series: Series) -> tuple[str, str, str]:
    """The middle and the slowest in milliseconds."""
    tail = [0.95, 0.99] if len(series.samples) >= _ENOUGH else [None, None]
    middle, slow, slowest = (
        "" if share is None else f"{series.percentile(share) * 1000:.2f}" for share in (0.5, *tail)
    )
    return middle, slow, slowest


def _round(value: float) -> str:
    """As many digits as tell something."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.4g}"
