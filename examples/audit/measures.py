"""The arithmetic of the summary: percentiles, and how many intervals overlap."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

#: Start and end of something, in seconds on one clock.
Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Percentiles:
    """A distribution in five numbers; the unit is that of the values."""

    count: int
    p50: float
    p95: float
    p99: float
    maximum: float


def percentiles(values: Iterable[float]) -> Percentiles | None:
    """The percentiles of the values, or None of none. Each is one of the values (nearest rank)."""
    ordered = sorted(values)
    if not ordered:
        return None
    p50, p95, p99 = (nearest_rank(ordered, percent) for percent in (50, 95, 99))
    return Percentiles(len(ordered), p50, p95, p99, ordered[-1])


def nearest_rank(ordered: Sequence[float], percent: float) -> float:
    """The smallest value with at least `percent` per cent of all values at or below it."""
    rank = math.ceil(percent / 100 * len(ordered))
    return ordered[max(rank, 1) - 1]


def readable(value: float) -> str:
    """A measured value for people: about three digits, never an exponent."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def most_at_once(intervals: Iterable[Interval]) -> int:
    """The largest number of intervals that overlap; one that ends when another starts does not."""
    return max((lane + 1 for lane in lanes(intervals)), default=0)


def lanes(intervals: Iterable[Interval]) -> list[int]:
    """For each interval the number of a lane, from 0, so that none overlaps in its lane.

    Takes the lowest free lane in order of start, which needs as many lanes as intervals
    overlap at most.
    """
    given = list(intervals)
    result = [0] * len(given)
    busy: list[tuple[float, int]] = []
    free: list[int] = []
    for index in sorted(range(len(given)), key=given.__getitem__):
        start, end = given[index]
        while busy and busy[0][0] <= start:
            heapq.heappush(free, heapq.heappop(busy)[1])
        lane = heapq.heappop(free) if free else len(busy)
        heapq.heappush(busy, (end, lane))
        result[index] = lane
    return result


def steps(intervals: Iterable[Interval]) -> list[tuple[float, int]]:
    """How many intervals are open from each moment on: ``[(time, count), ...]`` in time order."""
    changes: dict[float, int] = {}
    for start, end in intervals:
        changes[start] = changes.get(start, 0) + 1
        changes[end] = changes.get(end, 0) - 1
    level = 0
    result = []
    for moment in sorted(changes):
        level += changes[moment]
        result.append((moment, level))
    return result
