"""The arithmetic behind the summary, against slower but obvious ways to say the same."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples.audit.charts import tick_step
from examples.audit.measures import (
    Interval,
    Percentiles,
    lanes,
    most_at_once,
    nearest_rank,
    percentiles,
    readable,
    steps,
)

MOMENTS = st.integers(0, 30).map(float)
INTERVALS = st.lists(
    st.tuples(MOMENTS, MOMENTS).map(lambda pair: (min(pair), max(pair))), max_size=25
)
REAL_INTERVALS = INTERVALS.map(lambda found: [pair for pair in found if pair[0] < pair[1]])


def test_percentiles_are_values_that_occurred() -> None:
    assert percentiles(range(1, 101)) == Percentiles(100, 50, 95, 99, 100)
    assert percentiles([7.0]) == Percentiles(1, 7.0, 7.0, 7.0, 7.0)
    assert percentiles([]) is None


@given(st.lists(st.floats(0, 1e6), min_size=1), st.integers(1, 100))
@settings(deadline=None)
def test_at_least_that_share_is_at_or_below_a_percentile(values: list[float], percent: int) -> None:
    ordered = sorted(values)
    value = nearest_rank(ordered, percent)
    assert sum(v <= value for v in ordered) * 100 >= percent * len(ordered)
    assert sum(v < value for v in ordered) * 100 < percent * len(ordered)


@given(REAL_INTERVALS)
@settings(deadline=None)
def test_the_most_at_once_is_met_at_some_start(intervals: list[Interval]) -> None:
    overlapping = [sum(s <= start < e for s, e in intervals) for start, _ in intervals]
    assert most_at_once(intervals) == max(overlapping, default=0)


@given(INTERVALS)
@settings(deadline=None)
def test_no_two_intervals_of_a_lane_overlap(intervals: list[Interval]) -> None:
    placed = [(lane, interval) for lane, interval in zip(lanes(intervals), intervals, strict=True)]
    for i, (lane, (start, end)) in enumerate(placed):
        for other, (s, e) in placed[i + 1 :]:
            assert lane != other or e <= start or end <= s


def test_one_that_ends_as_another_starts_does_not_overlap() -> None:
    assert most_at_once([(0, 1), (1, 2), (2, 3)]) == 1
    assert lanes([(1, 2), (0, 1), (0.5, 3)]) == [0, 0, 1]


def test_a_moment_without_length_counts_as_one() -> None:
    assert most_at_once([(1, 1)]) == 1


@given(REAL_INTERVALS)
@settings(deadline=None)
def test_steps_rise_to_the_most_at_once_and_end_at_zero(intervals: list[Interval]) -> None:
    levels = [level for _, level in steps(intervals)]
    assert max(levels, default=0) == most_at_once(intervals)
    assert levels[-1:] in ([], [0])


@given(st.floats(0.001, 1e5))
@settings(deadline=None)
def test_an_axis_has_at_most_ten_round_parts(end: float) -> None:
    step = tick_step(end)
    assert end / step <= 10.001
    assert f"{step:.0e}"[0] in "125"


@pytest.mark.parametrize(
    ("value", "text"), [(0.123, "0.12"), (12.34, "12.3"), (123.4, "123"), (12345.6, "12,346")]
)
def test_values_are_written_for_people(value: float, text: str) -> None:
    assert readable(value) == text
