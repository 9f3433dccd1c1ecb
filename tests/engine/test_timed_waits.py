"""Danger: a wait that never ends, ends too early, or differs between two runs."""

from __future__ import annotations

import time
from typing import Any

import pytest

from orchestrator.agents.context import Context
from orchestrator.domain.errors import InvalidRequest, ResultPending
from orchestrator.domain.lifecycle import State
from orchestrator.domain.retry import RetryPolicy
from orchestrator.engine import reconcile
from orchestrator.store.store import Ending
from tests.engine.bench import Bench
from tests.support.waiting import wait_until

NEVER = RetryPolicy.never()


def suspended(bench: Bench, one: str) -> None:
    wait_until(lambda: bench.glance(one).place == "suspended", "it is asleep")


def test_a_sleep_costs_no_slot_and_ends_by_itself(bench: Bench) -> None:
    def sleeper(ctx: Context) -> Any:
        before = ctx.now()
        ctx.sleep(0.5)
        return (ctx.now() - before).total_seconds()

    bench.agent("sleeper", sleeper)
    one = bench.spawn("sleeper")
    bench.execute(one)
    row = bench.row(one)
    assert (row.state, row.reason) == (State.WAITING, "WAITING_FOR_TIME")
    assert row.wait is not None
    assert bench.deps.gate.held() == 0
    with bench.working(beating=True):
        bench.wait_for_end(one)
    assert bench.row(one).result >= 0.5


def test_woken_too_early_it_sleeps_on(bench: Bench) -> None:
    bench.agent("sleeper", lambda ctx: ctx.sleep(3_600))
    one = bench.spawn("sleeper")
    bench.execute(one)
    until = bench.row(one).wait
    bench.deps.gate.wake([one])
    bench.execute(one)
    row = bench.row(one)
    assert row.state is State.WAITING
    assert until is not None
    assert row.wait is not None
    assert row.wait.until == until.until  # and not an hour from now


def test_a_timeout_is_pending_and_stays_so(bench: Bench) -> None:
    """Also for a run that comes after the child has ended."""

    def impatient(ctx: Context) -> Any:
        child = ctx.spawn("add", {"a": 1}, pool="later")
        try:
            ctx.wait(child, timeout=0.3)
        except ResultPending as pending:
            told = pending.instance_ids == [child.id]
        return [told, ctx.wait(child)]

    bench.agent("impatient", impatient)
    one = bench.spawn("impatient")
    with bench.working(beating=True):
        wait_until(
            lambda: (wait := bench.row(one).wait) and wait.until is None and wait.targets,
            "it waits without end",
        )
        [child] = [row for row in bench.deps.store.subtree(one) if row.id != one]
        assert child.state is State.QUEUED  # nothing has become of it
        bench.offer(1, pool="later", worker="later")
        bench.execute(child.id)
        bench.wait_for_end(one)
    assert bench.row(one).result == [True, 2]
    assert bench.row(one).failures == 0


def test_what_comes_in_time_is_no_timeout(bench: Bench) -> None:
    def patient(ctx: Context) -> Any:
        return ctx.wait(ctx.spawn("add", {"a": 1}), timeout=60)

    bench.agent("patient", patient)
    one = bench.spawn("patient")
    with bench.working():
        bench.wait_for_end(one)
    assert bench.row(one).result == 2


def test_the_first_ones_stay_the_first(bench: Bench) -> None:
    """Whoever ends later, even with an earlier time, does not take their place."""
    told: list[list[str]] = []

    def racer(ctx: Context) -> Any:
        children = [ctx.spawn("add", {"a": n}, pool=f"lane{n}") for n in range(3)]
        first = ctx.wait_at_least(1, children)
        told.append([one.id for one in first])
        ctx.wait(children)
        return [one.id for one in first]

    bench.agent("racer", racer, retry=NEVER)
    one = bench.spawn("racer")
    with bench.working():
        suspended(bench, one)
        children = [row.id for row in bench.deps.store.subtree(one) if row.id != one]
        for lane in (1, 0, 2):
            bench.offer(1, pool=f"lane{lane}", worker=f"lane{lane}")
            bench.execute(children[lane])
            wait_until(lambda: told, "it has been told of the first")
            with bench.deps.store.database.connection() as connection:
                connection.execute("SET session_replication_role = replica")
                connection.execute(
                    "UPDATE instances SET ended_at = ended_at - %s * interval '1 hour' "
                    "WHERE id = %s",
                    (int(lane != 1), children[lane]),
                )
                connection.execute("SET session_replication_role = origin")
        bench.wait_for_end(one)
    assert bench.row(one).result == [children[1]]
    assert told[-1] == [children[1]]


def test_a_wake_that_was_lost_is_found(bench: Bench) -> None:
    child_id: list[str] = []

    def parent(ctx: Context) -> Any:
        child = ctx.spawn("add", {"a": 1}, pool="later")
        child_id.append(child.id)
        return ctx.wait(child)

    bench.agent("parent", parent)
    one = bench.spawn("parent")
    bench.execute(one)
    bench.offer(1, pool="later", worker="later")
    # The worker of the child dies after the row and before the gate is told.
    bench.deps.store.begin(child_id[0], 1, "later")
    bench.deps.store.settle(child_id[0], 1, Ending(State.COMPLETED, result="7"))
    assert bench.places(one) == ["suspended"]
    reconcile.run_once(bench.deps)
    assert bench.places(one) == ["dispatched"]
    assert bench.execute(one).result == 7


@pytest.mark.parametrize("wrong", [-1, float("nan"), True, "1", 10**10])
def test_odd_times_are_refused(bench: Bench, wrong: Any) -> None:
    def odd(ctx: Context) -> None:
        child = ctx.spawn("add", {"a": 1}, pool="nowhere")
        for ask in (lambda: ctx.sleep(wrong), lambda: ctx.wait(child, timeout=wrong)):
            with pytest.raises(InvalidRequest, match="must be seconds from 0"):
                ask()

    bench.agent("odd", odd, retry=NEVER)
    assert bench.execute(bench.spawn("odd")).state is State.COMPLETED


def test_a_zero_timeout_only_looks(bench: Bench) -> None:
    def looks(ctx: Context) -> str:
        child = ctx.spawn("add", {"a": 1}, pool="nowhere")
        began = time.monotonic()
        try:
            child.result(timeout=0)
        except ResultPending:
            return "pending" if time.monotonic() - began < 30 else "late"
        return "there"

    bench.agent("looks", looks, retry=NEVER)
    assert bench.execute(bench.spawn("looks")).result == "pending"
