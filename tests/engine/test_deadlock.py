"""Danger: agents wait for each other and nobody notices."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from orchestrator.agents.async_context import AsyncContext
from orchestrator.agents.context import Context
from orchestrator.domain.errors import DeadlockDetected, InvalidRequest, ResultPending
from orchestrator.domain.lifecycle import State
from orchestrator.domain.retry import RetryPolicy
from orchestrator.engine import deadlocks, rebuild, wait
from orchestrator.engine.cancel import cancel
from orchestrator.engine.running import Run
from tests.engine.bench import Bench
from tests.support.waiting import wait_until


class Pair:
    """Two agents, `agent-B` and `agent-C`, of which each knows the other's id."""

    def __init__(self, bench: Bench, **priorities: str) -> None:
        self.bench = bench
        self.ids: dict[str, str] = {}
        self.told: dict[str, Any] = {}
        for name in "BC":
            bench.agent(f"agent-{name}", self._body(name), retry=RetryPolicy.never())
            priority = priorities.get(name, "normal")
            self.ids[name] = bench.spawn(f"agent-{name}", priority=priority)

    def _body(self, name: str) -> Callable[[Context], Any]:
        other = {"B": "C", "C": "B"}[name]

        def body(ctx: Context) -> Any:
            try:
                return ctx.wait(ctx.handle(self.ids[other]))
            except DeadlockDetected as error:
                self.told[name] = error
                return f"{name} gave way"

        return body

    def start(self, name: str) -> threading.Thread:
        """Let one run, until it waits or has ended."""
        one = self.ids[name]
        thread = threading.Thread(target=self.bench.execute, args=(one,))
        thread.start()
        wait_until(
            lambda: self.bench.glance(one).place == "suspended" or not thread.is_alive(),
            f"{name} waits or has ended",
        )
        return thread

    def finish(self, *threads: threading.Thread) -> None:
        """Both have ended, and the gate knows of nothing any more."""
        self.bench.work_until(
            lambda: all(self.bench.row(one).state.is_terminal for one in self.ids.values()),
            "both have ended",
        )
        for thread in threads:
            thread.join(20)
        left = [one for one in self.bench.deps.gate.redis.scan_iter() if is_of_a_wait(one)]
        assert left == []


def is_of_a_wait(name: str) -> bool:
    """Whether a key belongs to a wait or to a lock that is held."""
    kinds = (":wait:", ":targets:", ":waiters:", ":unchecked", ":blocked", ":holder:", ":locks:")
    return any(kind in name for kind in kinds)


def cycles(bench: Bench, instance_id: str) -> list[Any]:
    """What the audit trail of an instance tells of deadlocks."""
    events = bench.deps.store.events(instance_id)
    return [event.detail for event in events if event.kind == "deadlock_detected"]


def test_the_wait_that_closes_the_circle_fails_at_once_and_names_it(bench: Bench) -> None:
    pair = Pair(bench)
    waiting = pair.start("B")
    closing = pair.start("C")
    pair.finish(waiting, closing)
    error = pair.told["C"]
    assert "agent-B -> agent-C -> agent-B" in str(error)
    assert [(node.id, node.agent) for node in error.cycle] == [
        (pair.ids["B"], "agent-B"),
        (pair.ids["C"], "agent-C"),
    ]
    assert error.to_dict()["code"] == "DEADLOCK_DETECTED"
    # The one who was waited for has ended by now, so the other has its result.
    assert bench.row(pair.ids["B"]).result == "C gave way"
    assert cycles(bench, pair.ids["C"]) == [{"cycle": [node.to_dict() for node in error.cycle]}]
    assert cycles(bench, pair.ids["B"]) == []


@pytest.mark.parametrize(
    ("policy", "priorities", "first", "victim"),
    [
        ("youngest", {}, "C", "C"),
        ("youngest", {}, "B", "C"),
        ("lowest_priority", {"B": "low"}, "B", "B"),
        ("lowest_priority", {"C": "low"}, "B", "C"),
    ],
)
def test_the_policy_says_who_gives_way(
    bench: Bench, policy: str, priorities: dict[str, str], first: str, victim: str
) -> None:
    bench.limit(victim=policy)
    pair = Pair(bench, **priorities)
    other = {"B": "C", "C": "B"}[first]
    threads = [pair.start(first), pair.start(other)]
    pair.finish(*threads)
    assert list(pair.told) == [victim]
    survivor = {"B": "C", "C": "B"}[victim]
    assert bench.row(pair.ids[survivor]).result == f"{victim} gave way"
    assert len(cycles(bench, pair.ids[victim])) == 1


def test_a_victim_that_was_not_told_finds_out(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wait, "LOOK_AGAIN", 0.01)
    monkeypatch.setattr(wait, "ASK_AGAIN", 0.01)
    bench.limit(victim="youngest")
    pair = Pair(bench)
    waiting = pair.start("C")
    monkeypatch.setattr(bench.deps.gate, "channel", lambda *_: "nobody hears this")
    closing = pair.start("B")
    pair.finish(waiting, closing)
    assert list(pair.told) == ["C"]


def test_an_agent_that_does_not_handle_it_fails_with_its_reason(bench: Bench) -> None:
    def selfish(ctx: Context) -> Any:
        return ctx.wait(ctx.handle(ctx.id))

    bench.agent("selfish", selfish, retry=RetryPolicy.never())
    row = bench.execute(bench.spawn("selfish"))
    assert (row.state, row.reason) == (State.FAILED, "DEADLOCK_DETECTED")
    assert row.error is not None
    assert "selfish -> selfish" in row.error["message"]


def test_a_child_that_waits_for_its_waiting_parent_is_told(bench: Bench) -> None:
    def parent(ctx: Context) -> Any:
        return ctx.wait(ctx.spawn("child", {"parent": ctx.id}))

    def child(ctx: Context, parent: str) -> str:
        wait_until(lambda: bench.glance(parent).place == "suspended", "the parent waits")
        try:
            return str(ctx.wait(ctx.handle(parent)))
        except DeadlockDetected as error:
            return " ".join(node.agent or "" for node in error.cycle)

    bench.agent("parent", parent)
    bench.agent("child", child)
    one = bench.spawn("parent")
    bench.work_until(lambda: bench.row(one).state.is_terminal, "it has ended")
    assert bench.row(one).result == "parent child"


def test_the_circle_is_found_again_after_redis_was_emptied(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that waits has to tell the new gate of it."""
    monkeypatch.setattr(wait, "LOOK_AGAIN", 0.01)
    monkeypatch.setattr(wait, "ASK_AGAIN", 0.01)
    pair = Pair(bench)
    waiting = pair.start("B")
    bench.deps.gate.redis.flushall()
    rebuild.run_once(bench.deps)
    bench.offer()
    gate = bench.deps.gate
    wait_until(lambda: list(gate.redis.scan_iter("*:wait:*")), "it has told the gate again")
    pair.finish(waiting, pair.start("C"))
    assert list(pair.told) == ["C"]


class TestSomeOf:
    """Any of, and at least n of."""

    def test_the_first_that_ends_is_enough(self, bench: Bench) -> None:
        def parent(ctx: Context) -> Any:
            never = ctx.spawn("add", {"a": 1}, pool="gpu")
            soon = ctx.spawn("add", {"a": 2})
            first = ctx.wait_any([never, soon])
            never.cancel()
            return [first == soon, first.result()]

        bench.agent("parent", parent)
        one = bench.spawn("parent")
        bench.work_until(lambda: bench.row(one).state.is_terminal, "it has ended")
        assert bench.row(one).result == [True, 3]

    def test_the_first_n_in_the_order_in_which_they_ended(self, bench: Bench) -> None:
        def parent(ctx: Context) -> Any:
            children = [ctx.spawn("add", {"a": n}, pool="gpu") for n in range(4)]
            return [one.result() for one in ctx.wait_at_least(2, children)]

        bench.agent("parent", parent)
        bench.offer(10, pool="gpu", worker="gpu")
        one = bench.spawn("parent")
        thread = threading.Thread(target=bench.execute, args=(one,))
        thread.start()
        wait_until(lambda: bench.glance(one).place == "suspended", "it waits")
        for child, attempt in reversed(bench.take_messages("gpu")[1:3]):
            bench.execute(child, attempt)
        bench.work_until(lambda: bench.row(one).state.is_terminal, "it has ended")
        thread.join(20)
        assert bench.row(one).result == [3, 2]

    def test_in_an_async_agent(self, bench: Bench) -> None:
        async def parent(ctx: AsyncContext) -> Any:
            children = [await ctx.spawn("add", {"a": n}) for n in range(3)]
            some = await ctx.wait_at_least(3, children)
            return sorted([await ctx.wait(ctx.handle(one.id)) for one in some])

        bench.agent("parent", parent)
        one = bench.spawn("parent")
        bench.work_until(lambda: bench.row(one).state.is_terminal, "it has ended")
        assert bench.row(one).result == [1, 2, 3]

    def test_one_way_out_is_no_deadlock(self, bench: Bench) -> None:
        """B waits for C or for somebody who can end, so C may wait for B."""
        ids: dict[str, str] = {}

        def either(ctx: Context) -> str:
            handles = [ctx.handle(ids["C"]), ctx.handle(ids["free"])]
            return str(ctx.wait_any(handles).result())

        bench.agent("agent-B", either)
        bench.agent("agent-C", lambda ctx: ctx.wait(ctx.handle(ids["B"])))
        ids["free"] = bench.spawn("add", {"a": 6}, pool="gpu")
        for name in "BC":
            ids[name] = bench.spawn(f"agent-{name}")
        threads = [threading.Thread(target=bench.execute, args=(ids[name],)) for name in "BC"]
        for thread in threads:
            thread.start()
        both = ["suspended", "suspended"]
        wait_until(lambda: bench.places(ids["B"], ids["C"]) == both, "both wait")
        bench.offer(1, pool="gpu", worker="gpu")
        bench.execute(*bench.take_messages("gpu")[0])
        bench.work_until(lambda: bench.row(ids["C"]).state.is_terminal, "all have ended")
        assert [bench.row(ids[name]).result for name in "BC"] == ["7", "7"]

    @pytest.mark.parametrize("n", [0, 2])
    def test_more_than_there_are_is_refused(self, bench: Bench, n: int) -> None:
        def parent(ctx: Context) -> None:
            ctx.wait_at_least(n, [ctx.spawn("add", {"a": 1})])

        bench.agent("parent", parent, retry=RetryPolicy.never())
        row = bench.execute(bench.spawn("parent"))
        assert row.error is not None
        assert row.error["type"] == InvalidRequest.__name__


def test_nothing_is_left_of_a_cancelled_wait(bench: Bench) -> None:
    pair = Pair(bench)
    waiting = pair.start("B")
    cancel(bench.deps, pair.ids["B"])
    bench.beat()
    waiting.join(20)
    assert [one for one in bench.deps.gate.redis.scan_iter() if is_of_a_wait(one)] == []
    cancel(bench.deps, pair.ids["C"])


def test_a_wait_with_a_timeout_is_noticed_while_it_keeps_its_slot(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wait, "UNNOTICED", 0.01)
    holder, child = bench.begin(bench.spawn("echo")), bench.spawn(pool="gpu")
    pending: list[ResultPending] = []

    def be_impatient() -> None:
        try:
            wait.wait_keeping(bench.deps, Run(holder), [child], 0.3)
        except ResultPending as error:
            pending.append(error)

    thread = threading.Thread(target=be_impatient)
    thread.start()
    gate = bench.deps.gate
    wait_until(lambda: gate.redis.zscore("{orchestrator}:blocked", holder.id), "the gate is told")
    thread.join(20)
    assert "No result after 0.3 s" in str(pending[0])
    assert [name for name in gate.redis.scan_iter() if is_of_a_wait(name)] == []


def test_slots_that_only_wait_are_told_of_once(bench: Bench) -> None:
    bench.limit(session_concurrency=1)
    holder = bench.begin(bench.spawn("echo", session="s"))
    bench.spawn("echo", session="s")
    bench.deps.gate.block(holder, 1, "run:1")
    assert deadlocks.run_once(bench.deps).stalls == 1
    assert deadlocks.run_once(bench.deps).stalls == 0
    [event] = [one for one in bench.deps.store.events(holder.id) if one.kind == "slots_stalled"]
    assert event.detail is not None
    assert event.detail["name"] == "default/s"
