"""Danger: hundreds of `async def` agents on one loop get in each other's way."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

import pytest

from orchestrator import AsyncContext
from orchestrator.domain.instance import Instance
from orchestrator.domain.lifecycle import Reason, State
from orchestrator.domain.retry import RetryPolicy
from orchestrator.engine.running import StopReason
from tests.engine.bench import Bench
from tests.engine.runtimes.programs import stop, under_way
from tests.support.agents import rest


def run(bench: Bench, function: Any, args: dict[str, Any] | None = None, **spec: Any) -> Instance:
    """Run an agent, with all it spawns, to its end."""
    spec.setdefault("retry", RetryPolicy.never())
    name = function.__name__
    bench.agent(name, function, **spec)
    one = bench.spawn(name, args or {})
    bench.work_until(lambda: bench.row(one).state.is_terminal, "it has ended")
    return bench.row(one)


def test_many_share_one_loop(bench: Bench) -> None:
    seen: set[tuple[int, int]] = set()
    arrived = asyncio.Event()

    async def meet(ctx: AsyncContext) -> int:
        seen.add((id(asyncio.get_running_loop()), threading.get_ident()))
        meet.count += 1  # type: ignore[attr-defined]  # a function's own attribute
        if meet.count == 100:  # type: ignore[attr-defined]  # see above
            arrived.set()
        await arrived.wait()
        return 1

    meet.count = 0  # type: ignore[attr-defined]  # see above
    bench.agent("agent", meet)
    ids = [bench.spawn("agent") for _ in range(100)]
    bench.work_until(lambda: all(bench.row(one).result == 1 for one in ids), "all have met")
    assert len(seen) == 1
    assert threading.get_ident() not in {thread for _, thread in seen}


def test_children_at_once(bench: Bench) -> None:
    async def sums(ctx: AsyncContext) -> list[int]:
        async def one(n: int) -> int:
            child = await ctx.spawn("add", {"a": n, "b": n})
            return int(await ctx.wait(child))

        return list(await asyncio.gather(*(one(n) for n in range(5))))

    row = run(bench, sums)
    assert row.result == [0, 2, 4, 6, 8]
    assert len(bench.deps.store.subtree(row.id)) == 6


def test_one_task_waits_while_another_goes_on(bench: Bench) -> None:
    """The function is left only when nothing else in it moves any more."""
    done: list[str] = []

    async def work(ctx: AsyncContext) -> list[Any]:
        async def wait() -> Any:
            return await ctx.wait(await ctx.spawn("add", {"a": 1}))

        async def steps() -> int:
            for n in range(4):
                await ctx.step(f"step {n}", slow, n)
            return 4

        return list(await asyncio.gather(wait(), steps()))

    async def slow(n: int) -> None:
        await rest(0.05)
        done.append(f"step {n}")

    bench.agent("agent", work)
    one = bench.spawn("agent")
    assert bench.execute(one).state is State.WAITING
    assert done == [f"step {n}" for n in range(4)]
    bench.work_until(lambda: bench.row(one).state.is_terminal, "it has ended")
    assert bench.row(one).result == [2, 4]
    assert len(done) == 4


def test_tasks_that_run_again_keep_their_order(bench: Bench) -> None:
    """What one task did before another is its own again, also where the other is faster now."""
    done: list[str] = []
    tries: list[int] = []

    async def work(ctx: AsyncContext) -> list[Any]:
        async def branch(name: str, seconds: float) -> list[Any]:
            return [await ctx.step(f"{name} {n}", slow, name, n, seconds) for n in range(3)]

        found = await asyncio.gather(branch("slow", 0.06), branch("fast", 0.01))
        tries.append(1)
        if len(tries) == 1:
            raise ConnectionError("once more")
        return list(found)

    async def slow(name: str, n: int, seconds: float) -> str:
        await rest(seconds)
        done.append(f"{name} {n}")
        return f"{name} {n}"

    row = run(bench, work, retry=RetryPolicy(first_delay=0, max_delay=0))
    assert row.result == [[f"slow {n}" for n in range(3)], [f"fast {n}" for n in range(3)]]
    assert len(done) == 6


def test_no_task_is_given_what_another_one_did(bench: Bench) -> None:
    """All ask for the same, and are done in one order at first and in another one later."""
    done: list[str] = []

    async def twins(ctx: AsyncContext) -> Any:
        ended = [asyncio.Event() for _ in range(4)]
        ended[3].set()

        async def act(n: int, what: str) -> str:
            if what == "first":
                await ended[n + 1].wait()  # the last one goes first
            done.append(f"{what} {n}")
            ended[n].set()
            return f"{what} {n}"

        async def twin(n: int) -> Any:
            told = [await ctx.step("act", act, n, "first")]
            ended[n].set()
            chance = await ctx.random()
            await ctx.sleep(0)
            return [*told, await ctx.step("act", act, n, "second"), chance]

        found = await asyncio.gather(*(twin(n) for n in range(3)))
        runs.append(found)
        await ctx.wait(await ctx.spawn("add", {"a": 1}))
        return found

    runs: list[Any] = []
    row = run(bench, twins)
    assert [told[:2] for told in row.result] == [[f"first {n}", f"second {n}"] for n in range(3)]
    assert sorted(done) == sorted(f"{what} {n}" for what in ("first", "second") for n in range(3))
    assert len(runs) == 2
    assert runs[0] == runs[1]


def test_another_program_is_noticed(bench: Bench) -> None:
    tries: list[int] = []

    async def work(ctx: AsyncContext) -> None:
        tries.append(1)
        await asyncio.gather(*(ctx.step(f"{len(tries)} {n}", rest, 0) for n in range(2)))
        raise ConnectionError("once more")

    row = run(bench, work, retry=RetryPolicy(max_attempts=2, first_delay=0, max_delay=0))
    assert (row.error or {})["type"] == "NonDeterministicAgent"


def test_left_in_a_gather_that_catches_everything(bench: Bench) -> None:
    async def work(ctx: AsyncContext) -> Any:
        child = await ctx.spawn("add", {"a": 1})
        return await asyncio.gather(ctx.wait(child), return_exceptions=True)

    assert run(bench, work).result == [2]


def test_a_child_fails(bench: Bench) -> None:
    async def fail(ctx: AsyncContext) -> None:
        raise ValueError("as asked")

    async def work(ctx: AsyncContext) -> str:
        try:
            await ctx.wait(await ctx.spawn("fails"))
        except Exception as error:
            return type(error).__name__
        return "nothing"

    bench.agent("fails", fail, retry=RetryPolicy.never())
    assert run(bench, work).result == "AgentFailed"


@pytest.mark.parametrize(
    "error", [SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError]
)
def test_the_loop_outlives_what_agents_raise(bench: Bench, error: type[BaseException]) -> None:
    async def work(ctx: AsyncContext, deep: bool) -> None:
        async def leave() -> None:
            raise error

        await (asyncio.create_task(leave()) if deep else leave())

    async def ends(ctx: AsyncContext) -> int:
        await rest(0)
        return 1

    for deep in (False, True):
        assert run(bench, work, {"deep": deep}).reason == Reason.AGENT_ERROR
    assert run(bench, ends).result == 1


def test_told_to_stop(bench: Bench) -> None:
    async def hang(ctx: AsyncContext) -> None:
        try:
            began.set()
            await rest(600)
        finally:
            tidied.set()

    began, tidied = threading.Event(), threading.Event()
    bench.agent("program", hang)
    with under_way(bench) as one:
        assert began.wait(20)
        stop(bench, one, StopReason.WORKER_STOPPED)
        [this] = bench.running.all()
        this.interrupt()
    assert tidied.is_set()
    assert (bench.row(one).state, bench.row(one).reason) == (State.QUEUED, "WORKER_STOPPED")


def test_tasks_left_behind_end_with_it(bench: Bench) -> None:
    ended: list[str] = []

    async def leave(ctx: AsyncContext) -> int:
        async def linger() -> None:
            try:
                await rest(600)
            finally:
                ended.append("lingering")

        task = asyncio.create_task(linger())
        await rest(0.01)
        return 0 if task.done() else 1

    assert run(bench, leave).result == 1
    assert ended == ["lingering"]


def test_who_blocks_the_loop_is_named(
    bench: Bench, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And neighbours that come later are given another loop."""
    monkeypatch.setattr("workers.runtimes.loop.GIVEN_UP_AFTER", 0.9)
    go = threading.Event()

    async def block(ctx: AsyncContext) -> int:
        go.wait(20)
        return 1

    async def quick(ctx: AsyncContext) -> int:
        await rest(0)
        return 2

    bench.agent("program", block)
    bench.agent("quick", quick)
    with caplog.at_level(logging.WARNING), under_way(bench) as one:
        while not any("loop.blocked" in record.message for record in caplog.records):
            go.wait(0.05)
        [warning] = [record for record in caplog.records if "loop.blocked" in record.message]
        assert one in warning.message
        assert "agent=program" in warning.message
        assert "in block:" in warning.message
        other = bench.spawn("quick")
        assert bench.execute(other).result == 2
        go.set()
    assert bench.row(one).result == 1


def test_what_blocks_in_many_does_not_queue_up(bench: Bench) -> None:
    """Each has a thread of its own for what blocks: none waits for a pool of few."""
    together = threading.Barrier(30)

    def meet() -> None:
        together.wait(20)

    async def work(ctx: AsyncContext) -> int:
        await asyncio.to_thread(meet)
        return 1

    bench.agent("agent", work)
    ids = [bench.spawn("agent") for _ in range(30)]
    bench.work_until(lambda: all(bench.row(one).result == 1 for one in ids), "all have met")


def test_a_lock_is_kept_over_a_wait(bench: Bench) -> None:
    async def work(ctx: AsyncContext) -> int:
        async with ctx.lock("door") as lock:
            token = lock.token
            await ctx.wait(await ctx.spawn("add", {"a": 1}))
            assert lock.token == token
            return token

    first = run(bench, work).result
    assert run(bench, work).result > first
