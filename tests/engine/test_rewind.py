"""Danger: a retry does too much again, or not what has failed."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.agents.context import Context
from orchestrator.domain.errors import HistoryTooLong, InvalidRequest
from orchestrator.domain.lifecycle import State
from orchestrator.domain.retry import RetryPolicy
from tests.engine.bench import Bench
from tests.engine.test_steps import Ledger, run_to_end


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


NEVER = RetryPolicy.never()
ONCE_MORE = RetryPolicy(max_attempts=2, first_delay=0)


class TestRewind:
    """A retry does again what failed, and what followed from it; nothing else."""

    def test_a_failed_step_is_done_again(self, bench: Bench, ledger: Ledger) -> None:
        def agent(ctx: Context) -> Any:
            ctx.step("before", ledger.do, "before")
            ctx.step("fails once", fail_once, ledger, ctx.attempt)
            return ctx.step("after", ledger.do, "after")

        bench.agent("agent", agent, retry=ONCE_MORE)
        row = run_to_end(bench, bench.spawn("agent"))
        assert row.result == "after"
        assert ledger.done == ["before", "tried", "tried", "after"]

    def test_a_failed_child_is_spawned_anew_and_its_siblings_are_not(self, bench: Bench) -> None:
        tries: list[str] = []

        def flaky(ctx: Context, name: str) -> str:
            tries.append(name)
            if name == "bad" and tries.count(name) == 1:
                raise ValueError(name)
            return name

        def parent(ctx: Context) -> Any:
            return ctx.wait([ctx.spawn("flaky", {"name": name}) for name in ("a", "bad", "c")])

        bench.agent("flaky", flaky, retry=NEVER)
        bench.agent("parent", parent, retry=ONCE_MORE)
        one = bench.spawn("parent")
        row = run_to_end(bench, one)
        assert (row.result, row.failures) == (["a", "bad", "c"], 1)
        assert sorted(tries) == ["a", "bad", "bad", "c"]
        children = [child for child in bench.deps.store.subtree(one) if child.id != one]
        assert sum(child.superseded for child in children) == 1

    def test_a_child_whose_failure_was_handled_stays(self, bench: Bench) -> None:
        tries: list[str] = []

        def fails(ctx: Context) -> None:
            tries.append("child")
            raise ValueError

        def parent(ctx: Context) -> str:
            [failure] = ctx.wait([ctx.spawn("fails")], return_exceptions=True)
            told = type(failure).__name__
            if ctx.attempt <= 2:
                raise ConnectionError("for a reason of its own")
            return told

        bench.agent("fails", fails, retry=NEVER)
        bench.agent("parent", parent, retry=RetryPolicy(max_attempts=3, first_delay=0))
        row = run_to_end(bench, bench.spawn("parent"))
        assert (row.result, row.failures) == ("AgentFailed", 1)
        assert tries == ["child"]

    def test_what_followed_from_a_failure_is_done_again(self, bench: Bench) -> None:
        """A failure that was looked at first and raised later takes back all in between."""
        done: list[str] = []

        def child(ctx: Context) -> str:
            done.append("child")
            if done.count("child") == 1:
                raise ValueError
            return "well"

        def parent(ctx: Context) -> Any:
            handle = ctx.spawn("child")
            [found] = ctx.wait([handle], return_exceptions=True)
            if isinstance(found, Exception):
                ctx.step("consolation", done.append, "consolation")
                live = ctx.spawn("echo", pool="nowhere")
                raise RuntimeError(live.id) from found
            return found

        bench.agent("child", child, retry=NEVER)
        bench.agent("parent", parent, retry=ONCE_MORE)
        one = bench.spawn("parent")
        row = run_to_end(bench, one)
        assert row.result == "well"
        assert done == ["child", "consolation", "child"]
        [live] = [row for row in bench.deps.store.subtree(one) if row.agent == "echo"]
        assert (live.state, live.superseded) == (State.CANCELLED, True)

    def test_an_error_of_its_own_takes_nothing_back(self, bench: Bench, ledger: Ledger) -> None:
        def agent(ctx: Context) -> str:
            ctx.step("one", ledger.do, "one")
            if ctx.attempt == 1:
                raise ConnectionError
            return "done"

        bench.agent("agent", agent, retry=ONCE_MORE)
        assert run_to_end(bench, bench.spawn("agent")).result == "done"
        assert ledger.done == ["one"]


def fail_once(ledger: Ledger, attempt: int) -> None:
    ledger.do("tried")
    if attempt == 1:
        raise ConnectionError


class TestState:
    def test_it_outlives_every_run_and_counts_its_versions(self, bench: Bench) -> None:
        def counter(ctx: Context) -> Any:
            ctx.state["runs"] = ctx.state.get("runs", 0) + 1
            if ctx.attempt == 1:
                ctx.state.update(a=1, b=[2])
                del ctx.state["a"]
                raise ConnectionError
            return [dict(ctx.state), ctx.state.version]

        bench.agent("counter", counter, retry=ONCE_MORE)
        row = run_to_end(bench, bench.spawn("counter"))
        assert row.result == [{"runs": 2, "b": [2]}, 4]

    def test_what_cannot_be_kept_changes_nothing(self, bench: Bench) -> None:
        def odd(ctx: Context) -> Any:
            with pytest.raises(InvalidRequest, match=r"state\.x"):
                ctx.state["x"] = {1}
            return [dict(ctx.state), ctx.state.version]

        bench.agent("odd", odd)
        assert run_to_end(bench, bench.spawn("odd")).result == [{}, 0]


class TestHistory:
    def test_it_has_a_bound(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        def endless(ctx: Context) -> None:
            while True:
                ctx.random()

        bench.limit_history(20)
        bench.agent("endless", endless)
        row = run_to_end(bench, bench.spawn("endless"))
        assert row.error["type"] == HistoryTooLong.__name__
        assert "20 operations" in row.error["message"]
        assert row.failures == 1

    def test_it_can_be_begun_anew(self, bench: Bench, ledger: Ledger) -> None:
        def loop(ctx: Context, n: int) -> Any:
            ctx.step("work", ledger.do, str(n))
            ctx.spawn("echo", pool="nowhere")
            ctx.state["sum"] = ctx.state.get("sum", 0) + n
            if n < 3:
                ctx.continue_as_new(n=n + 1)
            return [ctx.state["sum"], ctx.random()]

        bench.agent("loop", loop, retry=NEVER)
        one = bench.spawn("loop", {"n": 1})
        row = run_to_end(bench, one)
        assert (row.result[0], row.history, row.failures) == (6, 2, 0)
        assert ledger.done == ["1", "2", "3"]
        echoes = [one for one in bench.deps.store.subtree(one) if one.agent == "echo"]
        assert [echo.state for echo in echoes] == [State.CANCELLED] * 3
        assert "CONTINUED" in [reason for _, reason in bench.trail(one)]
