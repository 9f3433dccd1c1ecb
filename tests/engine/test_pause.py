"""pause and resume: nothing starts that is paused, nothing is lost by it, and all comes back."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from orchestrator.agents.context import Context
from orchestrator.client.orchestrator import Orchestrator
from orchestrator.domain.errors import InvalidRequest
from orchestrator.domain.lifecycle import State
from orchestrator.domain.scope import Scope
from orchestrator.engine import limits, reconcile
from orchestrator.engine.explain import explain
from orchestrator.engine.heartbeat import Heart
from orchestrator.engine.pause import pause, resume
from tests.engine.bench import Bench
from tests.support.waiting import wait_until


def test_those_who_run_hear_of_it_at_once(bench: Bench) -> None:
    """The next heartbeat is an hour away."""
    begun = threading.Event()

    def works(ctx: Context) -> None:
        begun.set()
        while True:
            ctx.check()

    bench.agent("works", works)
    one = bench.spawn("works")
    heart = Heart(bench.deps, bench.host, "default", 3, 3_600.0)
    heart.start()
    wait_until(lambda: bench.deps.gate.workers()["bench"] == {"default": 3}, "it has beaten")
    channel = bench.deps.gate.channels("due")[0]
    wait_until(lambda: bench.deps.gate.redis.pubsub_numsub(channel)[0][1] == 1, "it listens")
    thread = threading.Thread(target=bench.execute, args=(one,))
    thread.start()
    assert begun.wait(20)
    pause(bench.deps, f"instance:{one}")
    thread.join(20)
    heart.close()
    assert (bench.row(one).state, bench.row(one).reason) == (State.QUEUED, "PAUSED")


SCOPES = ["session:s", "session:default/s", "agent:add", "pool:default", "tenant:default", "global"]


def kinds(bench: Bench, instance_id: str) -> list[str]:
    return [event.kind for event in bench.deps.store.events(instance_id)]


class TestScopes:
    @pytest.mark.parametrize("scope", SCOPES)
    def test_nothing_new_starts_until_it_is_resumed(self, bench: Bench, scope: str) -> None:
        runs = bench.spawn(session="s")
        report = pause(bench.deps, scope, set_by="me")
        assert (report.is_paused, report.changed, report.yielding) == (True, True, ())
        held = [bench.spawn(session="s") for _ in range(3)]
        assert bench.places(runs, *held) == ["dispatched", "queued", "queued", "queued"]
        assert "is paused since" in explain(bench.deps, held[0]).summary
        assert "by me" in explain(bench.deps, held[0]).summary
        # What runs goes on
        assert bench.execute(runs).state is State.COMPLETED
        assert bench.places(*held) == ["queued"] * 3
        assert resume(bench.deps, scope).changed
        assert bench.places(*held) == ["dispatched"] * 3

    def test_others_are_left_alone(self, bench: Bench) -> None:
        held = bench.spawn(session="s")
        bench.execute(held)
        pause(bench.deps, "session:s")
        pause(bench.deps, "agent:echo")
        assert bench.places(bench.spawn(session="other")) == ["dispatched"]

    def test_what_was_set_before_holds_again(self, bench: Bench) -> None:
        limits.set_limit(bench.deps, "agent:add", 2)
        pause(bench.deps, "agent:add")
        held = [bench.spawn() for _ in range(3)]
        assert bench.places(*held) == ["queued"] * 3
        # A limit that is set meanwhile resumes nothing
        limits.set_limit(bench.deps, "agent:add", 1)
        assert bench.places(*held) == ["queued"] * 3
        resume(bench.deps, "agent:add")
        assert sorted(bench.places(*held)) == ["dispatched", "queued", "queued"]
        assert bench.deps.store.limits.newest().in_force() == {Scope("agent", "add"): 1.0}

    def test_twice_is_once(self, bench: Bench) -> None:
        assert [pause(bench.deps, "agent:add").changed for _ in range(2)] == [True, False]
        assert [resume(bench.deps, "agent:add").changed for _ in range(2)] == [True, False]
        assert not resume(bench.deps, "pool:gpu").changed

    def test_it_outlives_redis(self, bench: Bench) -> None:
        pause(bench.deps, "agent:add")
        bench.deps.gate.redis.flushall()
        bench.offer()
        held = bench.spawn()
        assert bench.places(held) == ["queued"]
        resume(bench.deps, "agent:add")
        assert bench.places(held) == ["dispatched"]

    def test_now_hands_running_ones_back_without_a_failure(self, bench: Bench) -> None:
        inside, go_on = threading.Event(), threading.Event()

        def works(ctx: Context) -> int:
            inside.set()
            go_on.wait(20)
            ctx.check()
            return ctx.attempt

        bench.agent("works", works)
        one = bench.spawn("works")
        thread = threading.Thread(target=bench.execute, args=(one, 1))
        thread.start()
        inside.wait(20)
        assert pause(bench.deps, "agent:works", now=True).yielding == (one,)
        bench.beat()
        bench.enforce(abandon=True)
        assert bench.running.all()[0].reason is None, "it is asked, not pressed"
        go_on.set()
        thread.join(20)
        row = bench.row(one)
        assert (row.state, row.reason, row.failures) == (State.QUEUED, "PAUSED", 0)
        assert bench.places(one) == ["queued"]
        resume(bench.deps, "agent:works")
        # It was asked once; its next attempt is not.
        assert bench.execute(one).result == 2

    @pytest.mark.parametrize(
        "scope", ["", "agent", "agents:x", "agent:", "weight:tenant:t", "max_depth", "session:x"]
    )
    def test_what_cannot_be_paused_is_refused(self, bench: Bench, scope: str) -> None:
        for verb in (pause, resume):
            with pytest.raises(InvalidRequest) as caught:
                verb(bench.deps, scope)
            assert caught.value.code == "INVALID_SCOPE"


class TestInstances:
    def pause(self, bench: Bench, instance_id: str) -> None:
        assert pause(bench.deps, f"instance:{instance_id}", set_by="me").changed

    def resume(self, bench: Bench, instance_id: str) -> None:
        assert resume(bench.deps, f"instance:{instance_id}").changed

    def test_one_in_line_leaves_it(self, bench: Bench) -> None:
        bench.offer(0)
        one, other = bench.spawn(), bench.spawn()
        self.pause(bench, one)
        bench.offer(10)
        bench.deps.gate.pump()
        assert bench.places(one, other) == ["paused", "dispatched"]
        assert "is paused since" in explain(bench.deps, one).summary
        assert bench.deps.gate.backlog() == 0
        self.resume(bench, one)
        assert bench.execute(one).state is State.COMPLETED
        assert kinds(bench, one) == ["state", "paused", "resumed", "state", "state"]
        assert bench.deps.gate.redis.keys("*paused*") == []

    def test_one_that_is_handed_out_is_not_begun(self, bench: Bench) -> None:
        one = bench.spawn()
        self.pause(bench, one)
        row = bench.execute(one, 1)
        assert (row.state, row.attempt) == (State.QUEUED, 0)
        assert bench.places(one) == ["paused"]
        assert bench.deps.gate.held() == 0
        self.resume(bench, one)
        assert bench.execute(one).state is State.COMPLETED

    def test_one_that_runs_yields_and_stays_out(self, bench: Bench) -> None:
        def works(ctx: Context) -> int:
            if ctx.attempt == 1:
                self.pause(bench, ctx.id)
                bench.beat()
                ctx.check()
            return ctx.attempt

        bench.agent("works", works)
        one = bench.spawn("works")
        row = bench.execute(one)
        assert (row.state, row.reason, row.failures) == (State.QUEUED, "PAUSED", 0)
        assert bench.places(one) == ["paused"]
        self.resume(bench, one)
        assert bench.execute(one).result == 2

    def test_a_failed_attempt_is_not_followed_by_another(self, bench: Bench) -> None:
        def fails(ctx: Context) -> int:
            if ctx.attempt == 1:
                self.pause(bench, ctx.id)
                raise ValueError
            return ctx.attempt

        bench.agent("fails", fails)
        one = bench.spawn("fails")
        bench.execute(one)
        bench.advance(60)
        bench.deps.gate.sweep(10, 30.0)
        assert bench.places(one) == ["paused"]
        bench.offer()
        self.resume(bench, one)
        assert bench.execute(one).result == 2

    def test_one_that_completes_meanwhile_has_completed(self, bench: Bench) -> None:
        bench.agent("works", lambda ctx: self.pause(bench, ctx.id))
        one = bench.spawn("works")
        assert bench.execute(one).state is State.COMPLETED
        assert bench.places(one) == [""]
        with pytest.raises(InvalidRequest, match="has ended") as caught:
            resume(bench.deps, f"instance:{one}")
        assert caught.value.code == "HAS_ENDED"

    def test_one_that_is_cancelled_is_gone(self, bench: Bench) -> None:
        one = bench.spawn()
        self.pause(bench, one)
        bench.execute(one, 1)
        Orchestrator(bench.deps).cancel(one)
        assert bench.places(one) == [""]
        assert bench.deps.gate.redis.keys("*paused*") == []

    def test_the_rest_of_its_tree_goes_on(self, bench: Bench) -> None:
        parent = bench.begun_parent()
        child = bench.spawn(parent=parent)
        self.pause(bench, parent.id)
        assert bench.execute(child).state is State.COMPLETED

    def test_it_outlives_redis(self, bench: Bench) -> None:
        bench.offer(0)
        one = bench.spawn()
        self.pause(bench, one)
        bench.deps.gate.redis.flushall()
        bench.offer()
        bench.deps.gate.pump()
        assert bench.places(one) == ["paused"]
        self.resume(bench, one)
        assert bench.places(one) == ["dispatched"]

    def test_a_gate_that_was_not_told_is_told_by_the_worker(self, bench: Bench) -> None:
        one = bench.spawn()
        bench.deps.store.control.pause(one, "me")
        bench.execute(one, 1)
        assert bench.places(one) == ["paused"]
        assert bench.take_messages()[1:] == []

    def test_a_gate_that_missed_the_resumption_is_told_by_the_reconciler(
        self, bench: Bench
    ) -> None:
        one = bench.spawn()
        self.pause(bench, one)
        bench.execute(one, 1)
        bench.deps.store.control.resume(one, "me")
        assert bench.places(one) == ["paused"]
        reconcile.run_once(bench.deps)
        assert bench.places(one) == ["dispatched"]

    def test_the_reconciler_leaves_paused_ones_aside(self, bench: Bench) -> None:
        one = bench.spawn()
        self.pause(bench, one)
        bench.execute(one, 1)
        reconcile.run_once(bench.deps)
        assert bench.places(one) == ["paused"]

    def test_twice_is_once(self, bench: Bench) -> None:
        one = bench.spawn()
        verbs: list[Any] = [pause, pause, resume, resume]
        changed = [verb(bench.deps, f"instance:{one}").changed for verb in verbs]
        assert changed == [True, False, True, False]
        assert kinds(bench, one) == ["state", "paused", "resumed"]

    def test_one_that_waits_stays_aside_when_its_wait_is_over(self, bench: Bench) -> None:
        def parent(ctx: Context) -> Any:
            return ctx.wait(ctx.spawn("add", {"a": 1}, pool="gpu"))

        bench.agent("parent", parent)
        one = bench.spawn("parent")
        bench.work_until(lambda: bench.glance(one).place == "suspended", "it waits")
        self.pause(bench, one)
        [child] = [row.id for row in bench.deps.store.subtree(one) if row.id != one]
        bench.offer(1, pool="gpu", worker="gpu")
        bench.execute(*bench.take_messages("gpu")[0])
        assert bench.row(child).state is State.COMPLETED
        assert bench.places(one) == ["paused"]
        assert bench.row(one).state is State.WAITING
        reconcile.run_once(bench.deps)
        assert bench.places(one) == ["paused"]
        self.resume(bench, one)
        bench.work_until(lambda: bench.row(one).state.is_terminal, "it has ended")
        assert bench.row(one).result == 2

    def test_one_that_waits_does_so_after_redis_was_emptied(self, bench: Bench) -> None:
        def parent(ctx: Context) -> Any:
            return ctx.wait(ctx.spawn("add", {"a": 1}, pool="gpu"))

        bench.agent("parent", parent)
        one = bench.spawn("parent")
        bench.work_until(lambda: bench.glance(one).place == "suspended", "it waits")
        self.pause(bench, one)
        bench.deps.gate.redis.flushall()
        bench.offer(1, pool="gpu", worker="gpu")
        bench.offer()
        bench.execute(*bench.take_messages("gpu")[0])
        assert bench.places(one) == ["paused"]
        self.resume(bench, one)
        bench.work_until(lambda: bench.row(one).state.is_terminal, "it has ended")
        assert bench.row(one).result == 2
