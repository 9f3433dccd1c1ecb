"""Danger: something is done twice, or a run that goes on is told something else than before."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from orchestrator.agents.async_context import AsyncContext
from orchestrator.agents.context import Context
from orchestrator.domain.errors import InvalidRequest, StepFailed
from orchestrator.domain.lifecycle import State
from orchestrator.domain.retry import RetryPolicy
from orchestrator.engine.running import StopReason
from tests.engine.bench import Bench


def run_to_end(bench: Bench, instance_id: str) -> Any:
    bench.work_until(
        lambda: bench.row(instance_id).state.is_terminal and not bench.running.all(), "it has ended"
    )
    return bench.row(instance_id)


class Ledger:
    """What was really done, and how often."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def do(self, what: str, result: Any = None) -> Any:
        self.done.append(what)
        return what if result is None else result


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


def nap(ctx: Context) -> None:
    """A wait that really leaves the function."""
    ctx.wait(ctx.spawn("add", {"a": 1}))


class TestReplay:
    def test_what_was_done_is_not_done_again(self, bench: Bench, ledger: Ledger) -> None:
        runs: list[int] = []

        def careful(ctx: Context) -> list[Any]:
            runs.append(ctx.attempt)
            first = ctx.step("first", ledger.do, "first", {"n": (1, 2)})
            nap(ctx)
            second = ctx.step("second", ledger.do, "second")
            nap(ctx)
            return [first, second]

        bench.agent("careful", careful)
        row = run_to_end(bench, bench.spawn("careful"))
        # The first run is given what a later one reads: a list, not a tuple.
        assert row.result == [{"n": [1, 2]}, "second"]
        assert ledger.done == ["first", "second"]
        assert runs == [1, 2, 3]
        assert row.failures == 0

    def test_time_and_chance_are_the_same_in_every_run(self, bench: Bench) -> None:
        seen: list[list[str]] = []

        def gambler(ctx: Context) -> list[str]:
            told = [str(one()) for one in (ctx.now, ctx.random, ctx.uuid, ctx.random)]
            seen.append(told)
            nap(ctx)
            return told

        bench.agent("gambler", gambler)
        first, second = (run_to_end(bench, bench.spawn("gambler")).result for _ in range(2))
        assert seen[0] == seen[1] == first
        assert seen[2] == seen[3] == second
        assert len({*first[1:], *second[1:]}) == 6

    def test_what_a_handle_told_is_told_again(self, bench: Bench) -> None:
        def curious(ctx: Context) -> list[str]:
            child = ctx.spawn("add", {"a": 1})
            before = child.status()
            ctx.wait(child)
            return [before, child.status()]

        bench.agent("curious", curious)
        assert run_to_end(bench, bench.spawn("curious")).result == ["queued", "completed"]

    def test_a_call_is_made_and_paid_once(self, bench: Bench, ledger: Ledger) -> None:
        def caller(ctx: Context) -> Any:
            with ctx.call("llm", input_tokens=10) as call:
                answer = call.run(ledger.do, "asked", {"text": "hi"})
                call.settle(input_tokens=7)
            nap(ctx)
            return answer

        bench.agent("caller", caller)
        one = bench.spawn("caller")
        assert run_to_end(bench, one).result == {"text": "hi"}
        assert ledger.done == ["asked"]
        assert calls_of(bench, one) == 1

    def test_a_call_within_a_step_takes_no_place(self, bench: Bench, ledger: Ledger) -> None:
        def caller(ctx: Context) -> Any:
            def ask() -> str:
                with ctx.call("llm"):
                    return str(ledger.do("asked"))

            answer = ctx.step("ask", ask)
            nap(ctx)
            return answer

        bench.agent("caller", caller)
        one = bench.spawn("caller")
        assert run_to_end(bench, one).result == "asked"
        assert ledger.done == ["asked"]
        assert calls_of(bench, one) == 1

    def test_a_preempting_stop_loses_no_step(self, bench: Bench, ledger: Ledger) -> None:
        def stopped(ctx: Context) -> Any:
            done = ctx.step("first", ledger.do, "first")
            if ctx.attempt == 1:
                bench.running.stop(ctx.id, StopReason.WORKER_STOPPED)
            return [done, ctx.step("second", ledger.do, "second")]

        bench.agent("stopped", stopped)
        row = run_to_end(bench, bench.spawn("stopped"))
        assert row.result == ["first", "second"]
        assert (row.failures, ledger.done) == (0, ["first", "second"])

    def test_a_fenced_attempt_records_nothing(self, bench: Bench, ledger: Ledger) -> None:
        def late(ctx: Context) -> Any:
            if ctx.attempt == 1:
                bench.deps.store.expire(ctx.id, 1)
            ctx.step("one", ledger.do, "one")
            return ctx.attempt

        bench.agent("late", late, retry=RetryPolicy(max_attempts=3, first_delay=0))
        one = bench.spawn("late")
        bench.execute(one)
        assert bench.deps.store.journal.load(one) == []


def calls_of(bench: Bench, instance_id: str) -> int:
    with bench.deps.store.database.connection() as connection:
        row = connection.execute(
            "SELECT count(*) AS calls FROM calls WHERE instance_id = %s", (instance_id,)
        ).fetchone()
    assert row is not None
    return int(row["calls"])


class TestChangedCode:
    """The same instance meets another program when it runs again."""

    @pytest.mark.parametrize(
        ("before", "after", "expected", "found"),
        [
            (
                lambda ctx: ctx.step("fetch", int),
                lambda ctx: ctx.step("read", int),
                "step 'fetch'",
                "step 'read'",
            ),
            (
                lambda ctx: ctx.step("fetch", int),
                lambda ctx: ctx.spawn("echo"),
                "step 'fetch'",
                "spawn 'echo'",
            ),
            (
                lambda ctx: ctx.spawn("add", {"a": 1}),
                lambda ctx: ctx.spawn("add", {"a": 2}),
                'spawn add({"a": 1})',
                'spawn add({"a": 2})',
            ),
            (lambda ctx: ctx.step("fetch", int), lambda ctx: None, "step 'fetch'", "its end"),
            (lambda ctx: ctx.now(), lambda ctx: ctx.step("now", int), "now", "step 'now'"),
        ],
        ids=["renamed", "another-kind", "other-arguments", "left-out", "not-recorded-at-once"],
    )
    def test_it_is_named(
        self,
        bench: Bench,
        before: Callable[[Context], Any],
        after: Callable[[Context], Any],
        expected: str,
        found: str,
    ) -> None:
        def program(ctx: Context) -> None:
            if ctx.attempt == 1:
                before(ctx)
                nap(ctx)
            after(ctx)

        bench.agent("program", program, retry=RetryPolicy(max_attempts=5, first_delay=0))
        row = run_to_end(bench, bench.spawn("program"))
        assert (row.state, row.failures) == (State.FAILED, 1)
        assert row.error["type"] == "NonDeterministicAgent"
        assert f"operation number 0 is {found}, but {expected} was recorded" in row.error["message"]


class TestFailedSteps:
    def test_a_failure_is_recorded_with_its_cause(self, bench: Bench, ledger: Ledger) -> None:
        def fails() -> None:
            ledger.do("tried")
            raise ValueError("no luck")

        def stubborn(ctx: Context) -> list[str]:
            told = []
            try:
                ctx.step("try", fails)
            except StepFailed as error:
                told = [str(error), error.error["type"]]
            nap(ctx)
            return told

        bench.agent("stubborn", stubborn)
        row = run_to_end(bench, bench.spawn("stubborn"))
        assert row.result == ["Step 'try' failed: ValueError: no luck", "ValueError"]
        assert ledger.done == ["tried"]

    @pytest.mark.parametrize("delay", [0.0, 0.4], ids=["on-the-spot", "asleep"])
    def test_it_is_tried_again_by_its_policy(
        self, bench: Bench, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, delay: float
    ) -> None:
        monkeypatch.setattr(RetryPolicy, "delay", lambda *_: delay)

        def flaky() -> int:
            ledger.do("tried")
            if len(ledger.done) < 3:
                raise ConnectionError
            return len(ledger.done)

        policy = RetryPolicy(max_attempts=5, retry_on=(ConnectionError,))
        bench.agent("agent", lambda ctx: ctx.step("flaky", flaky, retry=policy))
        one = bench.spawn("agent")
        with bench.working(beating=True):
            bench.wait_for_end(one)
        row = bench.row(one)
        assert (row.result, row.failures) == (3, 0)
        assert row.attempt == (1 if delay == 0 else 3)

    def test_what_its_policy_gives_up_on_is_not(self, bench: Bench, ledger: Ledger) -> None:
        def fails() -> None:
            ledger.do("tried")
            raise ValueError

        policy = RetryPolicy(max_attempts=5, first_delay=0, give_up_on=(ValueError,))
        bench.agent("agent", lambda ctx: ctx.step("f", fails, retry=policy), retry=NEVER)
        row = run_to_end(bench, bench.spawn("agent"))
        assert (row.state, ledger.done) == (State.FAILED, ["tried"])
        assert row.error["type"] == "StepFailed"

    def test_a_result_must_be_json_and_fit(self, bench: Bench) -> None:
        def odd(ctx: Context) -> None:
            for value in ({1, 2}, "x" * 300_000):
                with pytest.raises(InvalidRequest, match="the result of step odd"):
                    ctx.step("odd", lambda value=value: value)

        bench.agent("odd", odd, retry=NEVER)
        assert run_to_end(bench, bench.spawn("odd")).error is None

    def test_a_step_holds_no_other_operations(self, bench: Bench) -> None:
        def nested(ctx: Context) -> str:
            try:
                ctx.step("outer", lambda: ctx.step("inner", int))
            except StepFailed as error:
                return str(error)
            return ""

        bench.agent("nested", nested)
        message = run_to_end(bench, bench.spawn("nested")).result
        assert "step 'inner' cannot be asked for inside of step 'outer'" in message


NEVER = RetryPolicy.never()


class TestAsync:
    def test_steps_side_by_side(self, bench: Bench, ledger: Ledger) -> None:
        async def work(n: int) -> int:
            await asyncio.to_thread(int)
            return int(ledger.do(str(n), n))

        async def agent(ctx: AsyncContext) -> Any:
            found = await asyncio.gather(*(ctx.step(f"work {n}", work, n) for n in range(3)))
            child = await ctx.spawn("add", {"a": 1})
            return [found, await ctx.wait(child)]

        bench.agent("agent", agent)
        assert run_to_end(bench, bench.spawn("agent")).result == [[0, 1, 2], 2]
        assert sorted(ledger.done) == ["0", "1", "2"]

    def test_a_call_is_made_once(self, bench: Bench, ledger: Ledger) -> None:
        async def ask() -> str:
            return str(ledger.do("asked"))

        async def agent(ctx: AsyncContext) -> Any:
            async with ctx.call("llm") as call:
                answer = await call.run(ask)
            await ctx.wait(await ctx.spawn("add", {"a": 1}))
            return answer

        bench.agent("agent", agent)
        assert run_to_end(bench, bench.spawn("agent")).result == "asked"
        assert ledger.done == ["asked"]
