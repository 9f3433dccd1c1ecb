"""Danger: all slots wait for what is in line behind them, and nobody is told."""

from __future__ import annotations

import pytest

from orchestrator.domain.lifecycle import State
from orchestrator.domain.limits import Limits
from tests.gate.rows import row_of
from tests.gate.traced import TracedGate
from tests.support.make import spawn_of

ROOMS = {
    "session": Limits(session_concurrency=2),
    "tenant": Limits(tenant_concurrency=2),
    "pool": Limits(pool_concurrency=2),
    "global": Limits(global_concurrency=2),
}
NAMES = {"session": "tenant/session", "tenant": "tenant", "pool": "default", "global": ""}


def fill(gate: TracedGate, count: int = 3) -> list[str]:
    """Spawns; two of them run, the others are in line."""
    news = [spawn_of(id=f"i{number}") for number in range(count)]
    gate.check_in_many(news, ["queue"] * count)
    gate.follow_many(news)
    return [new.id for new in news]


def block(gate: TracedGate, *ids: str) -> None:
    """These wait with a timeout."""
    for one in ids:
        assert gate.block(row_of(spawn_of(id=one), State.RUNNING, 1), 1, "run:1")


@pytest.mark.parametrize("scope", ROOMS)
def test_a_scope_whose_slots_all_wait_is_told_of(gate: TracedGate, scope: str) -> None:
    gate.change_limits(ROOMS[scope])
    first, second, third = fill(gate)
    block(gate, first)
    assert gate.stalls() == []
    block(gate, second)
    [stall] = [one for one in gate.stalls() if one.scope == scope]
    assert (stall.name, stall.limit, stall.waiting) == (NAMES[scope], 2, 1)
    assert stall.holder in (first, second)
    # When one has had enough, another may run
    gate.release(first, 1)
    assert gate.glance(third).place == "dispatched"
    assert gate.stalls() == []


def test_what_the_workers_offer_counts_too(gate: TracedGate) -> None:
    gate.heartbeat("worker", "default", 2, [])
    first, second, _ = fill(gate)
    block(gate, first, second)
    assert [one.scope for one in gate.stalls()] == ["workers"]


def test_full_and_busy_is_no_stall_nor_is_one_that_nobody_waits_behind(gate: TracedGate) -> None:
    gate.change_limits(Limits(session_concurrency=2))
    first, second = fill(gate, 2)
    block(gate, first, second)
    assert gate.stalls() == []


def test_it_is_recorded_until_it_is_over(gate: TracedGate) -> None:
    gate.change_limits(Limits(session_concurrency=2))
    first, second, _ = fill(gate)
    block(gate, first, second)
    assert [one.is_new for one in gate.stalls()] == [False]
    assert [one.is_new for one in gate.stalls(record=True)] == [True]
    gate.clock.advance(3)
    [stall] = gate.stalls(record=True)
    assert (stall.is_new, stall.seconds) == (False, 3.0)
    gate.end_wait(row_of(spawn_of(id=first), State.RUNNING, 1), "run:1")
    assert gate.stalls(record=True) == []
    assert not gate.redis.exists("{g}:stalled")
