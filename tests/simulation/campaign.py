"""Many schedules, in several processes side by side."""

from __future__ import annotations

import functools
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context

from tests.simulation.ground import Ground, ground
from tests.simulation.schedule import Outcome, run


@dataclass
class Tally:
    """What many schedules come to."""

    schedules: int = 0
    points: int = 0
    decisions: int = 0
    plays: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    checks: Counter[str] = field(default_factory=Counter)
    #: of each that failed: seed, play and the first thing that was wrong
    failed: list[tuple[int, str, str]] = field(default_factory=list)
    #: real seconds
    took: float = 0.0

    def add(self, outcome: Outcome, tell: Callable[[str], None]) -> None:
        """Count one."""
        self.schedules += 1
        self.points += outcome.points
        self.decisions += len(outcome.decisions)
        self.plays[outcome.play] += 1
        self.faults += outcome.faults
        self.checks.update(outcome.verdict.checks)
        if violations := outcome.verdict.violations:
            self.failed.append((outcome.seed, outcome.play, str(violations[0])))
            tell(f"FAILED seed {outcome.seed} ({outcome.play}): {violations[0]}")

    def merge(self, other: Tally) -> None:
        """Add those of another process."""
        self.schedules += other.schedules
        self.points += other.points
        self.decisions += other.decisions
        self.plays += other.plays
        self.faults += other.faults
        self.checks += other.checks
        self.failed += other.failed

    def lines(self) -> Iterator[str]:
        """The tally as text."""
        rate = 60 * self.schedules / self.took if self.took else 0.0
        yield f"{self.schedules} schedules in {self.took:.1f} s: {rate:.0f} a minute"
        yield f"{self.points} points, {self.decisions} decisions that were not usual"
        for name in ("plays", "faults", "checks"):
            counts: Counter[str] = getattr(self, name)
            yield f"{name}: " + ", ".join(f"{key} {counts[key]}" for key in sorted(counts))
        for seed, play, what in self.failed:
            yield f"FAILED seed {seed} ({play}): {what}"
            yield f"  python -m tests.simulation --seed {seed} --replay"


def play(
    where: Ground, seeds: Sequence[int], tell: Callable[[str], None] = lambda _line: None
) -> Tally:
    """Run these on one ground; tells of each failure at once."""
    tally = Tally()
    began = time.monotonic()
    for seed in seeds:
        tally.add(run(where, seed), tell)
    tally.took = time.monotonic() - began
    return tally


def play_all(seeds: Sequence[int], processes: int) -> Tally:
    """Run these, each process with servers of its own."""
    began = time.monotonic()
    total = Tally()
    shares = [seeds[start::processes] for start in range(processes)]
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        for tally in pool.map(_play_share, shares):
            total.merge(tally)
            total.took = max(total.took, tally.took)
    total.took = total.took or time.monotonic() - began
    return total


def _play_share(seeds: Sequence[int]) -> Tally:
    with ground() as where:
        return play(where, seeds, functools.partial(print, flush=True))
