"""A wait that would never end must not begin, and no other must be refused."""

from __future__ import annotations

from hypothesis import settings

from tests.gate.graph_machine import check, stuck
from tests.gate.traced import TracedGate


def test_every_wait_is_judged_right(gate: TracedGate) -> None:
    check(gate, settings(max_examples=150))


def test_the_judge_knows_a_circle_from_a_way_out() -> None:
    one, other, third = frozenset({1}), frozenset({0}), frozenset({0, 2})
    assert stuck({0: (1, one), 1: (1, other)}) == {0, 1}
    assert stuck({0: (1, one), 1: (1, third)}) == set()
    assert stuck({0: (1, one), 1: (2, third)}) == {0, 1}
