"""wait: results of others, without a slot meanwhile, and never past a stop."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from orchestrator.agents.async_context import AsyncContext
from orchestrator.agents.context import Context
from orchestrator.agents.handle import result_of
from orchestrator.domain.errors import AgentCancelled, AgentFailed, InstanceNotFound, ResultPending
from orchestrator.domain.ids import new_id
from orchestrator.domain.lifecycle import State
from orchestrator.domain.retry import RetryPolicy
from orchestrator.engine import wait
from orchestrator.engine.cancel import cancel
from orchestrator.engine.wait import wait_ended
from orchestrator.store.store import Ending
from tests.engine.bench import Bench
from tests.support.waiting import wait_until


class TestOutside:
    """As a service waits."""

    def test_what_has_ended_is_there_at_once(self, bench: Bench) -> None:
        ids = [bench.spawn(args={"a": n}) for n in range(3)]
        for one in ids:
            bench.execute(one)
        found = wait_ended(bench.deps, [*ids, ids[0]])
        assert [instance.result for instance in found] == [1, 2, 3, 1]

    def test_nothing_to_wait_for_is_there_at_once(self, bench: Bench) -> None:
        assert wait_ended(bench.deps, []) == []

    def test_impatience_names_what_is_pending(self, bench: Bench) -> None:
        done, pending = bench.spawn(), bench.spawn()
        bench.execute(done)
        with pytest.raises(ResultPending, match="No result after 0 s") as caught:
            wait_ended(bench.deps, [done, pending], 0.0)
        assert caught.value.instance_ids == [pending]

    def test_what_never_was_is_not_waited_for(self, bench: Bench) -> None:
        missing = new_id()
        with pytest.raises(InstanceNotFound, match=missing):
            wait_ended(bench.deps, [bench.spawn(), missing])

    @pytest.mark.parametrize("heard", [True, False], ids=["heard", "hint-lost"])
    def test_the_end_is_noticed(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch, heard: bool
    ) -> None:
        """By the hint of the gate; without one by looking again."""
        monkeypatch.setattr(wait, "LOOK_AGAIN", 3_600.0 if heard else 0.01)
        one = bench.spawn()
        found: list[Any] = []
        waiter = threading.Thread(target=lambda: found.extend(wait_ended(bench.deps, [one])))
        waiter.start()
        channel = bench.deps.gate.channel("done", one)
        wait_until(lambda: bench.deps.gate.redis.pubsub_numsub(channel)[0][1] == 1, "it listens")
        bench.deps.store.begin(one, 1, "bench")
        bench.deps.store.settle(one, 1, Ending(State.COMPLETED, result="7"))
        if heard:
            bench.deps.gate.release(one, 1)
        waiter.join(20)
        assert [instance.result for instance in found] == [7]

    @pytest.mark.parametrize("state", [State.COMPLETED, State.FAILED, State.CANCELLED])
    def test_each_end_is_a_result_or_its_own_error(self, bench: Bench, state: State) -> None:
        one = bench.spawn()
        bench.deps.store.begin(one, 1, "bench")
        error = {"type": "ValueError", "message": "no"} if state is State.FAILED else None
        result = "7" if state is State.COMPLETED else None
        bench.deps.store.settle(one, 1, Ending(state, None, result, error))
        [instance] = wait_ended(bench.deps, [one])
        if state is State.COMPLETED:
            assert result_of(instance) == 7
        else:
            kind = AgentFailed if state is State.FAILED else AgentCancelled
            with pytest.raises(kind, match=one):
                result_of(instance)


class TestInside:
    """As an agent waits: its slot is free for those it waits for."""

    def run_to_end(self, bench: Bench, instance_id: str) -> Any:
        bench.work_until(
            lambda: bench.row(instance_id).state.is_terminal and not bench.running.all(),
            "it has ended",
        )
        assert bench.deps.gate.held() == 0
        return bench.row(instance_id)

    def test_one_slot_is_enough_for_a_whole_tree(self, bench: Bench) -> None:
        bench.offer(1)
        one = bench.spawn("tree", {"fan": 2, "depth": 2})
        row = self.run_to_end(bench, one)
        assert (row.state, row.result) == (State.COMPLETED, 7)
        states = [state for state, _ in bench.trail(one)]
        assert states == ["queued", "running", "waiting", "queued", "running", "completed"]

    def test_an_async_agent_waits_the_same_way(self, bench: Bench) -> None:
        bench.offer(1)

        async def gather(ctx: AsyncContext) -> Any:
            children = [await ctx.spawn("add", {"a": n}) for n in range(3)]
            return await ctx.wait(children)

        bench.agent("gather", gather)
        assert self.run_to_end(bench, bench.spawn("gather")).result == [1, 2, 3]

    def test_what_is_there_already_costs_no_slot(self, bench: Bench) -> None:
        def parent(ctx: Context) -> Any:
            child = ctx.spawn("add", {"a": 1})
            bench.execute(child.id)
            return ctx.wait(child)

        bench.agent("parent", parent)
        one = bench.spawn("parent")
        assert bench.execute(one, 1).result == 2
        assert [state for state, _ in bench.trail(one)] == ["queued", "running", "completed"]

    def test_those_that_return_go_ahead_of_new_ones(self, bench: Bench) -> None:
        order: list[str] = []

        def parent(ctx: Context) -> None:
            ctx.wait(ctx.spawn("noted", {"name": "child"}))
            order.append("parent again")

        bench.agent("parent", parent)
        bench.agent("noted", lambda _ctx, name: order.append(name))
        bench.offer(1)
        one = bench.spawn("parent", session="s")
        for number in range(3):
            bench.spawn("noted", {"name": f"new {number}"}, session="s")
        self.run_to_end(bench, one)
        assert order.index("parent again") == order.index("child") + 1

    @pytest.mark.parametrize("gathers", [False, True], ids=["raises", "gathers"])
    def test_a_childs_failure_is_the_parents_to_handle(self, bench: Bench, gathers: bool) -> None:
        def parent(ctx: Context) -> list[str]:
            children = [ctx.spawn("fails"), ctx.spawn("add", {"a": 1})]
            found = ctx.wait(children, return_exceptions=gathers)
            return [type(one).__name__ for one in found]

        def fails(_ctx: Context) -> None:
            raise ValueError("no luck")

        bench.agent("parent", parent, retry=RetryPolicy.never())
        bench.agent("fails", fails, retry=RetryPolicy.never())
        row = self.run_to_end(bench, bench.spawn("parent"))
        if gathers:
            assert row.result == ["AgentFailed", "int"]
        else:
            assert (row.state, row.error["type"]) == (State.FAILED, "AgentFailed")
            assert "ValueError: no luck" in row.error["message"]

    def waiting_parent(self, bench: Bench) -> tuple[str, str]:
        """A parent that waits for a child of a pool without workers."""

        def parent(ctx: Context) -> Any:
            return ctx.wait(ctx.spawn("add", {"a": 1}, pool="gpu"))

        bench.agent("parent", parent, retry=RetryPolicy.never())
        one = bench.spawn("parent")
        threading.Thread(target=bench.execute, args=(one, 1)).start()
        wait_until(lambda: bench.glance(one).place == "suspended", "it waits")
        [child] = [row.id for row in bench.deps.store.subtree(one) if row.id != one]
        return one, child

    def gone(self, bench: Bench) -> None:
        wait_until(lambda: not bench.running.all(), "its thread has left")
        assert bench.deps.gate.held() == 0

    def test_a_waiting_parent_holds_no_slot(self, bench: Bench) -> None:
        one, _ = self.waiting_parent(bench)
        assert bench.deps.gate.held() == 0
        assert bench.row(one).state is State.WAITING
        cancel(bench.deps, one)
        bench.beat()
        self.gone(bench)

    def test_a_cancelled_wait_is_left(self, bench: Bench) -> None:
        one, child = self.waiting_parent(bench)
        assert sorted(cancel(bench.deps, one).cancelled) == sorted([one, child])
        bench.beat()
        self.gone(bench)
        assert bench.places(one, child) == ["", ""]
        assert bench.row(one).state is State.CANCELLED

    def test_a_waiting_parent_has_left_its_worker(self, bench: Bench) -> None:
        """It goes on in any other one; the child is the same, and is there by now."""
        one, child = self.waiting_parent(bench)
        self.gone(bench)
        bench.offer(1, pool="gpu", worker="gpu")
        bench.execute(*bench.take_messages("gpu")[0])
        assert bench.row(child).state is State.COMPLETED
        row = self.run_to_end(bench, one)
        assert (row.result, row.attempt, row.failures) == (2, 2, 0)

    def gone_from(self, bench: Bench) -> None:
        wait_until(lambda: not bench.running.all(), "its thread has left")

    def test_a_parent_that_was_judged_dead_meanwhile_is_fenced_out(self, bench: Bench) -> None:
        """Its worker was cut off; another attempt has taken over when the wait is over."""
        one, child = self.waiting_parent(bench)
        bench.deps.store.expire(one, 1)
        bench.deps.store.begin(child, 1, "gpu")
        bench.deps.store.settle(child, 1, Ending(State.COMPLETED, result="7"))
        bench.deps.gate.release(child, 1)
        self.gone_from(bench)
        assert bench.row(one).state is not State.COMPLETED

    def test_a_wait_with_a_timeout_keeps_the_slot(self, bench: Bench) -> None:
        held: list[int] = []

        def parent(ctx: Context) -> str:
            child = ctx.spawn("add", {"a": 1}, pool="gpu")
            try:
                child.result(timeout=0.0)
            except ResultPending:
                held.append(bench.deps.gate.held())
            return "went on"

        bench.agent("parent", parent)
        assert bench.execute(bench.spawn("parent"), 1).result == "went on"
        assert held == [1]

    def test_a_child_can_be_looked_at_and_cancelled(self, bench: Bench) -> None:
        def parent(ctx: Context) -> list[str]:
            child = ctx.spawn("add", {"a": 1}, pool="gpu")
            before = child.status()
            child.cancel()
            return [before, child.status()]

        bench.agent("parent", parent)
        assert bench.execute(bench.spawn("parent"), 1).result == ["queued", "cancelled"]
