"""Who waits with nobody there is woken by the gate itself, once and in time."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.domain.instance import Instance
from orchestrator.domain.lifecycle import State
from orchestrator.domain.limits import Limits
from orchestrator.domain.priority import Priority
from tests.gate.rows import row_of
from tests.gate.traced import TracedGate
from tests.support.make import spawn_of

WIDE = Limits(session_concurrency=100_000, tenant_concurrency=100_000, pool_concurrency=100_000)


def running(gate: TracedGate, *names: str, priority: Priority = Priority.NORMAL) -> list[Instance]:
    """Instances that run as their first attempt."""
    rows = [
        row_of(spawn_of(id=one, agent="work", priority=priority), State.RUNNING, 1) for one in names
    ]
    gate.adopt(rows)
    return rows


def wide_open(gate: TracedGate, slots: int = 100_000) -> None:
    gate.open(WIDE)
    gate.heartbeat("worker", "default", slots, [])


def places(gate: TracedGate, names: Sequence[str]) -> list[str]:
    return [gate.glance(one).place for one in names]


def test_the_last_end_wakes_a_parent_ahead_of_new_work(gate: TracedGate) -> None:
    wide_open(gate, slots=2)
    parent, *_ = running(gate, "parent", "first", "second")
    assert gate.begin_wait(parent, 1, "0:2", ["first", "second"]).state == "waiting"
    gate.release("first", 1)
    assert gate.suspend("parent", 1)
    new = spawn_of(id="new")
    gate.check_in(new, "queue")
    gate.heartbeat("worker", "default", 0, [])
    gate.follow(new)
    assert gate.glance("parent").place == "suspended"
    gate.release("second", 1)
    assert gate.glance("parent").place == "queued"
    found = gate.explain("parent")
    assert found is not None
    assert found.line is not None
    assert found.line.before_in_flow == 0
