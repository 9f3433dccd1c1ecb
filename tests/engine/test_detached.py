"""Children that outlive their parent, and what a cancellation says of each instance it met."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest

from orchestrator.agents.context import Context
from orchestrator.client.orchestrator import Orchestrator
from orchestrator.domain.cancel import CancelOutcome, CancelReport
from orchestrator.domain.errors import InstanceNotFound, InvalidSpawn
from orchestrator.domain.ids import new_id
from orchestrator.domain.instance import Parent
from orchestrator.domain.lifecycle import State
from orchestrator.domain.retry import RetryPolicy
from orchestrator.engine import reap
from orchestrator.engine.cancel import await_stops, cancel
from orchestrator.store.store import Ending
from tests.engine.bench import DISPATCH, Bench
from tests.support.make import parent_of

TIES: list[dict[str, Any]] = [{}, {"on_parent_end": "detach"}, {"detached": True}]


def outcomes(report: CancelReport) -> list[str]:
    return [str(node.outcome) for node in report.nodes]


def family(bench: Bench) -> tuple[Parent, list[str]]:
    """A running parent with a child of each tie, each with a child of its own."""
    parent, ids = bench.begun_parent(), []
    for position, tie in enumerate(TIES):
        child = bench.spawn(parent=replace(parent, position=position), **tie)
        grandchild = bench.spawn(parent=parent_of(bench.begin(child)))
        ids += [child, grandchild]
    return parent, ids


def live(bench: Bench, ids: list[str]) -> list[bool]:
    return [not bench.row(one).state.is_terminal for one in ids]


@pytest.mark.parametrize("end", [State.COMPLETED, State.FAILED])
def test_an_end_of_the_parents_own_leaves_detached_ones(bench: Bench, end: State) -> None:
    parent, ids = family(bench)
    result = "1" if end is State.COMPLETED else None
    bench.deps.store.settle(parent.id, parent.attempt, Ending(end, result=result))
    assert live(bench, ids) == [False, False, True, True, True, True]
    assert reap.run_once(bench.deps).to_dict()["orphans"] == 0
    assert live(bench, ids) == [False, False, True, True, True, True]


def test_a_cancellation_leaves_only_detached_ones(bench: Bench) -> None:
    parent, ids = family(bench)
    report = cancel(bench.deps, parent.id)
    assert live(bench, ids) == [False, False, False, False, True, True]
    assert outcomes(report) == [
        *("stopping", "stopping", "ended", "stopping", "ended", "detached", "detached")
    ]
    assert report.cancelled == (parent.id, *ids[:4])
    assert reap.run_once(bench.deps).to_dict()["orphans"] == 0


def test_what_is_below_a_detached_one_belongs_to_it(bench: Bench) -> None:
    parent, ids = family(bench)
    cancel(bench.deps, parent.id)
    report = cancel(bench.deps, ids[4])
    assert outcomes(report) == ["stopping", "ended"]
    assert live(bench, ids) == [False] * 6


def test_the_reaper_knows_the_difference(bench: Bench) -> None:
    """Orphans that nobody ended, as if a cascade had been lost."""
    parent, ids = family(bench)
    with bench.deps.store.database.connection() as connection:
        connection.execute(
            "UPDATE instances SET state = 'cancelled', ended_at = now() WHERE id = %s", [parent.id]
        )
    reap.run_once(bench.deps)
    assert live(bench, ids) == [False, False, False, False, True, True]


def test_an_agent_says_so_when_it_spawns(bench: Bench) -> None:
    def parent(ctx: Context) -> list[str]:
        return [ctx.spawn("add", {"a": 1}, pool="gpu", **tie).id for tie in TIES]

    bench.agent("parent", parent)
    children = bench.execute(bench.spawn("parent"), 1).result
    assert live(bench, children) == [False, True, True]
    assert [bench.row(one).detached for one in children] == [False, False, True]
    assert bench.row(children[1]).on_parent_end == "detach"


def test_a_tie_that_there_is_not_is_refused(bench: Bench) -> None:
    with pytest.raises(InvalidSpawn, match="terminate"):
        bench.spawn(parent=bench.begun_parent(), on_parent_end="adopt")


class TestReports:
    def test_each_is_told_of(self, bench: Bench) -> None:
        parent = bench.begun_parent()
        queued = bench.spawn(parent=parent)
        done = bench.spawn(parent=replace(parent, position=1))
        bench.execute(done)
        report = cancel(bench.deps, parent.id)
        assert [(node.id, node.before, str(node.outcome)) for node in report.nodes] == [
            (parent.id, State.RUNNING, "stopping"),
            (queued, State.QUEUED, "ended"),
            (done, State.COMPLETED, "had ended"),
        ]
        assert report.counts() == {"ended": 1, "stopping": 1, "had ended": 1}
        assert report.nodes[1].parent_id == parent.id
        again = cancel(bench.deps, parent.id)
        assert (again.cancelled, again.stopping) == ((), ())

    def test_what_never_was_cannot_be_cancelled(self, bench: Bench) -> None:
        with pytest.raises(InstanceNotFound):
            cancel(bench.deps, new_id())

    @pytest.mark.parametrize("how", ["stopped", "interrupted", "abandoned"])
    def test_how_the_code_stopped_is_told(self, bench: Bench, how: str) -> None:
        inside, go_on = threading.Event(), threading.Event()

        def works(ctx: Context) -> None:
            inside.set()
            while not go_on.is_set():
                if how == "stopped":
                    ctx.check()
            if how == "abandoned":
                go_on.wait()

        bench.agent("works", works, retry=RetryPolicy.never())
        one = bench.spawn("works")
        thread = threading.Thread(target=bench.execute, args=(one, 1))
        thread.start()
        inside.wait(20)
        report = cancel(bench.deps, one)
        assert outcomes(report) == ["stopping"]
        assert outcomes(await_stops(bench.deps, report, 0.0)) == ["stopping"]
        [run] = bench.running.all()
        bench.beat()
        if how == "interrupted":
            run.interrupt()
        elif how == "abandoned":
            bench.enforce(abandon=True)
        report = await_stops(bench.deps, report, 20.0)
        go_on.set()
        assert outcomes(report) == [how]
        assert report.cancelled == (one,)
        thread.join(20)

    def test_one_whose_worker_died_is_lost(self, bench: Bench) -> None:
        parent = bench.begun_parent()
        report = cancel(bench.deps, parent.id)
        bench.advance(DISPATCH + 1)
        bench.deps.gate.sweep(10, 30.0)
        bench.deps.gate.forget(parent.id, 1)
        assert outcomes(await_stops(bench.deps, report, 20.0)) == [str(CancelOutcome.LOST)]

    def test_a_client_waits_for_it(self, bench: Bench) -> None:
        bench.offer(0)
        one = bench.spawn("add")
        report = Orchestrator(bench.deps).cancel(one, wait=20.0)
        assert outcomes(report) == ["ended"]
        assert bench.places(one) == [""]

    def test_an_agent_reads_the_same_report_in_every_run(self, bench: Bench) -> None:
        def parent(ctx: Context) -> Any:
            child = ctx.spawn("add", {"a": 1}, pool="gpu")
            report = child.cancel()
            ctx.wait(ctx.spawn("add", {"a": 1}))
            return [*map(str, (node.outcome for node in report.nodes)), len(report.cancelled)]

        bench.agent("parent", parent)
        one = bench.spawn("parent")
        bench.work_until(lambda: bench.row(one).state.is_terminal, "it has ended")
        assert bench.row(one).result == ["ended", 1]
