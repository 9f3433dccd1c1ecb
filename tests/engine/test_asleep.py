"""Whatever is lost while an instance sleeps, it wakes when its time has come."""

from __future__ import annotations

import pytest

from orchestrator.domain.lifecycle import Reason, State
from orchestrator.domain.waits import Wait, WaitKind
from orchestrator.engine import reconcile, sweep
from orchestrator.engine.cancel import cancel
from orchestrator.engine.heartbeat import Heart
from orchestrator.store.store import Ending
from tests.engine.bench import DISPATCH, LEASE, Bench
from tests.support.make import parent_of
from tests.support.waiting import wait_until


@pytest.fixture
def family(bench: Bench) -> tuple[str, str]:
    """A parent that sleeps until its child has ended, as PostgreSQL has it, and that child."""
    parent = bench.begin(bench.spawn("echo"))
    child = bench.begin(bench.spawn(parent=parent_of(parent))).id
    bench.deps.gate.begin_wait(parent, 1, "0:1", [child])
    wait = Wait(WaitKind.ENDED, 1, "0:1", targets=(child,), needs=1)
    bench.deps.store.journal.suspend(parent.id, 1, Reason.WAITING_FOR_CHILDREN, wait, ())
    return parent.id, child


def end(bench: Bench, child: str) -> None:
    bench.deps.store.settle(child, 1, Ending(State.COMPLETED, result="1"))
    bench.deps.gate.release(child, 1)


def test_a_worker_that_dies_before_it_tells_the_gate(bench: Bench, family: tuple[str, str]) -> None:
    parent, child = family
    bench.deps.gate.heartbeat("bench", "default", 100, [(child, 1)])
    bench.advance(LEASE - 1)
    bench.deps.gate.heartbeat("bench", "default", 100, [(child, 1)])
    bench.advance(DISPATCH)
    bench.deps.gate.heartbeat("bench", "default", 100, [(child, 1)])
    sweep.run_once(bench.deps)
    assert bench.places(parent) == ["suspended"]
    assert (bench.row(parent).state, bench.row(parent).failures) == (State.WAITING, 0)
    end(bench, child)
    assert bench.glance(parent).attempt == 2


def test_an_end_that_comes_while_nobody_knows_of_the_wait(
    bench: Bench, family: tuple[str, str]
) -> None:
    """The gate has forgotten the parent; then the child ends."""
    parent, child = family
    bench.deps.gate.cancel([parent])
    end(bench, child)
    reconcile.run_once(bench.deps)
    assert bench.places(parent) == ["dispatched"]


def test_a_lost_message_of_one_that_was_woken(bench: Bench, family: tuple[str, str]) -> None:
    parent, child = family
    bench.deps.gate.suspend(parent, 1)
    end(bench, child)
    bench.take_messages()
    bench.advance(DISPATCH + 1)
    bench.offer()
    sweep.run_once(bench.deps)
    assert (parent, 3) in bench.take_messages()
    row = bench.row(parent)
    assert (row.state, row.reason, row.failures) == (State.QUEUED, Reason.MESSAGE_LOST, 0)


def test_one_that_was_ended_in_postgresql_alone(bench: Bench, family: tuple[str, str]) -> None:
    parent, child = family
    bench.deps.gate.suspend(parent, 1)
    bench.deps.store.cancel([parent], Reason.CANCELLED, Reason.PARENT_ENDED)
    reconcile.run_once(bench.deps)
    assert bench.places(parent) == [""]
    assert bench.row(child).state is State.CANCELLED


def test_a_cancelled_one_is_gone_at_once(bench: Bench, family: tuple[str, str]) -> None:
    parent, _child = family
    bench.deps.gate.suspend(parent, 1)
    cancel(bench.deps, parent)
    assert bench.places(parent) == [""]


def test_a_worker_beats_in_time_for_a_timer(bench: Bench) -> None:
    one = bench.begin(bench.spawn("echo")).id
    heart = Heart(bench.deps, bench.host, "default", 3, 3_600.0)
    heart.start()
    wait_until(lambda: bench.deps.gate.workers()["bench"] == {"default": 3}, "it has beaten")
    channel = bench.deps.gate.channels("due")[0]
    wait_until(
        lambda: bench.deps.gate.redis.pubsub_numsub(channel)[0][1] == 1, "it listens for timers"
    )
    bench.deps.gate.suspend(one, 1, wake_in=0.05)
    wait_until(lambda: bench.glance(one).attempt == 2, "it was woken")
    heart.close()
