"""Something urgent gets a slot at once, and who gave it up loses nothing but time."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator

import pytest

from orchestrator.agents.context import Context
from orchestrator.domain.lifecycle import State
from orchestrator.domain.priority import Priority
from orchestrator.engine.running import StopReason
from tests.engine.bench import Bench
from tests.support.waiting import wait_until

SLOTS = 2


class Work:
    """An agent whose instances work until they are let go on."""

    def __init__(self) -> None:
        self.effects: Counter[str] = Counter()
        self.inside: set[str] = set()
        self.go_on = threading.Event()
        self.is_deaf = False

    def __call__(self, ctx: Context) -> str:
        ctx.step("first", lambda: self.effects.update([ctx.id]))
        self.inside.add(ctx.id)
        while not self.go_on.wait(0.005):
            if not self.is_deaf:
                ctx.check()
        return ctx.id


@pytest.fixture
def work(bench: Bench) -> Iterator[Work]:
    work = Work()
    bench.agent("work", work)
    bench.agent("pinned", work, preemptible=False)
    bench.limit(pool_concurrency=SLOTS)
    with bench.working():
        yield work
        work.go_on.set()


def start(bench: Bench, work: Work, agent: str = "work", priority: str = "normal") -> str:
    """One that is at work, with its first step done."""
    one = bench.spawn(agent, priority=priority)
    wait_until(lambda: one in work.inside, "it works")
    return one


def run_to_its_end(bench: Bench, one: str) -> None:
    def look() -> bool:
        bench.beat()
        return bench.row(one).state is State.COMPLETED

    wait_until(look, "it has ended")


def test_an_urgent_one_takes_the_slot_of_the_least_important(bench: Bench, work: Work) -> None:
    kept = start(bench, work, priority="high")
    displaced = start(bench, work, priority="low")
    urgent = bench.spawn("add", priority="critical")
    run_to_its_end(bench, urgent)
    assert bench.row(kept).attempt == 1
    assert ("queued", "PREEMPTED") in bench.trail(displaced)
    work.go_on.set()
    run_to_its_end(bench, displaced)
    row = bench.row(displaced)
    assert (row.attempt, row.failures, work.effects[displaced]) == (2, 0, 1)
    assert bench.trail(displaced) == [
        ("queued", None),
        ("running", None),
        ("queued", "PREEMPTED"),
        ("running", None),
        ("completed", None),
    ]


def test_one_gives_way_for_each_and_no_more(bench: Bench, work: Work) -> None:
    ones = [start(bench, work) for _ in range(SLOTS)]
    urgent = [bench.spawn("work", priority="critical") for _ in range(SLOTS + 1)]

    def look() -> bool:
        bench.beat()
        return {*urgent[:SLOTS]} <= work.inside

    wait_until(look, "both run")
    assert [bench.glance(one).place for one in urgent] == ["dispatched", "dispatched", "queued"]
    work.go_on.set()
    for one in (*ones, *urgent):
        run_to_its_end(bench, one)
    # Nobody who was displaced has displaced anybody, and nobody was displaced twice.
    assert [bench.row(one).attempt for one in (*ones, *urgent)] == [2, 2, 1, 1, 1]


def test_one_that_must_not_be_displaced_is_not(bench: Bench, work: Work) -> None:
    kept = [start(bench, work, "pinned", "background") for _ in range(SLOTS)]
    urgent = bench.spawn("add", priority="critical")
    bench.beat()
    assert bench.glance(urgent).place == "queued"
    assert {run.reason for run in bench.running.all()} == {None}
    work.go_on.set()
    for one in (*kept, urgent):
        run_to_its_end(bench, one)
    assert {bench.row(one).attempt for one in kept} == {1}


@pytest.mark.parametrize("preempt_from", [None, Priority.CRITICAL])
def test_who_may_not_displace_waits(
    bench: Bench, work: Work, preempt_from: Priority | None
) -> None:
    bench.limit(pool_concurrency=SLOTS, preempt_from=preempt_from)
    for _ in range(SLOTS):
        start(bench, work, priority="background")
    bench.spawn("add", priority="high" if preempt_from is not None else "critical")
    bench.beat()
    assert {run.reason for run in bench.running.all()} == {None}


def test_one_that_does_not_listen_is_given_up(bench: Bench, work: Work) -> None:
    work.is_deaf = True
    displaced = start(bench, work)
    start(bench, work, priority="high")
    urgent = bench.spawn("add", priority="critical")
    bench.beat()
    assert {run.id for run in bench.running.all() if run.reason is StopReason.PREEMPTED} == {
        displaced
    }
    bench.enforce(abandon=True)
    run_to_its_end(bench, urgent)
    work.go_on.set()
    run_to_its_end(bench, displaced)
    row = bench.row(displaced)
    assert (row.failures, work.effects[displaced]) == (0, 1)
