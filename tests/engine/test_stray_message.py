"""execute: a message is a hint. Twice, late, or for nothing, it runs nothing; R4."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from orchestrator.agents.context import Context
from orchestrator.agents.registry import Registry
from orchestrator.domain.ids import new_id
from orchestrator.domain.lifecycle import State
from orchestrator.domain.retry import RetryPolicy
from orchestrator.engine import heartbeat
from orchestrator.engine.cancel import cancel
from orchestrator.engine.execute import execute
from tests.engine.bench import Bench
from tests.support.waiting import wait_until


@pytest.fixture
def runs(bench: Bench) -> list[int]:
    """The attempts of the agent `noted`, as they run."""
    runs: list[int] = []

    def noted(ctx: Context) -> int:
        runs.append(ctx.attempt)
        return ctx.attempt

    bench.agent("noted", noted)
    return runs


def test_a_message_runs_the_instance_to_its_end(bench: Bench, runs: list[int]) -> None:
    one = bench.spawn("noted")
    row = bench.execute(*bench.take_messages()[0])
    assert (row.state, row.result, row.attempt, row.worker) == (State.COMPLETED, 1, 1, "bench")
    assert bench.places(one) == [""]
    assert (bench.deps.gate.held(), runs) == (0, [1])
    assert bench.running.all() == []


def test_a_second_delivery_after_the_end_runs_nothing(bench: Bench, runs: list[int]) -> None:
    one = bench.spawn("noted")
    bench.execute(one, 1)
    before = bench.state()
    bench.execute(one, 1)
    assert (runs, bench.state()) == ([1], before)


def test_a_second_delivery_meanwhile_runs_nothing_and_takes_no_slot(bench: Bench) -> None:
    begun, go = threading.Event(), threading.Event()

    def slow(_ctx: Context) -> int:
        begun.set()
        return int(go.wait(20))

    bench.agent("slow", slow)
    one = bench.spawn("slow")
    thread = threading.Thread(target=bench.execute, args=(one, 1))
    thread.start()
    assert begun.wait(20)
    before = bench.state()
    execute(bench.deps, bench.new_host("other"), one, 1)
    assert bench.state() == before
    assert bench.deps.gate.held() == 1
    go.set()
    thread.join()
    assert bench.row(one).result == 1


def test_an_older_message_runs_nothing(bench: Bench, runs: list[int]) -> None:
    one = bench.spawn("noted")
    bench.deps.store.expire(one, 1)
    bench.deps.gate.requeue(bench.row(one), 1)
    bench.execute(one, 1)
    assert runs == []
    assert bench.execute(one, 2).result == 2


def test_a_message_for_what_was_cancelled_runs_nothing(bench: Bench, runs: list[int]) -> None:
    one = bench.spawn("noted")
    cancel(bench.deps, one)
    row = bench.execute(one, 1)
    assert (row.state, row.attempt, runs) == (State.CANCELLED, 0, [])
    assert bench.deps.gate.held() == 0
    assert bench.places(one) == [""]


def test_a_message_for_what_never_was_runs_nothing(bench: Bench, runs: list[int]) -> None:
    before = bench.state()
    execute(bench.deps, bench.host, new_id(), 1)
    assert (runs, bench.state()) == ([], before)


def test_an_attempt_that_was_fenced_out_writes_nothing(bench: Bench) -> None:
    """Its lease ran out while its code was busy: another attempt has the instance."""

    def slow(ctx: Context) -> int:
        if ctx.attempt == 1:
            bench.deps.store.expire(one, 1)
            bench.deps.gate.requeue(bench.row(one), 1)
            execute(bench.deps, bench.new_host("other"), one, 2)
        return ctx.attempt

    bench.agent("slow", slow)
    one = bench.spawn("slow")
    bench.execute(one, 1)
    row = bench.row(one)
    assert (row.state, row.result, row.worker) == (State.COMPLETED, 2, "other")
    assert bench.deps.gate.held() == 0


class TestFailure:
    """Attempts that fail are tried again as the policy says, and then reported."""

    def failing(self, error: BaseException) -> Callable[[Context], Any]:
        def failing(_ctx: Context) -> None:
            raise error

        return failing

    def test_it_is_tried_again_after_its_delay(self, bench: Bench) -> None:
        policy = RetryPolicy(max_attempts=2, first_delay=5, max_delay=5)
        bench.agent("failing", self.failing(ValueError("no luck")), retry=policy)
        one = bench.spawn("failing")
        first = bench.execute(one, 1)
        assert (first.state, first.reason, first.failures) == (State.QUEUED, "RETRY", 1)
        assert first.not_before is not None
        assert first.error is not None
        assert (first.error["type"], first.error["message"]) == ("ValueError", "no luck")
        assert bench.deps.gate.held() == 0
        bench.advance(6)
        bench.offer()
        last = bench.execute(one, 2)
        assert (last.state, last.reason, last.failures) == (State.FAILED, "AGENT_ERROR", 2)
        assert last.error is not None
        assert "raise error" in last.error["traceback"]

    def test_an_error_that_no_retry_helps_ends_it(self, bench: Bench) -> None:
        policy = RetryPolicy(max_attempts=9, give_up_on=("ValueError",))
        bench.agent("failing", self.failing(ValueError()), retry=policy)
        assert bench.execute(bench.spawn("failing"), 1).state is State.FAILED

    @pytest.mark.parametrize(
        "error",
        [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), ExceptionGroup("g", [OSError()])],
    )
    def test_whatever_is_raised_is_the_agents_failure(
        self, bench: Bench, error: BaseException
    ) -> None:
        bench.agent("failing", self.failing(error), retry=RetryPolicy.never())
        row = bench.execute(bench.spawn("failing"), 1)
        assert (row.state, row.reason) == (State.FAILED, "AGENT_ERROR")
        assert row.error is not None
        assert row.error["type"] == type(error).__name__

    def test_an_error_that_cannot_be_told_is_a_failure_too(self, bench: Bench) -> None:
        class Unspeakable(Exception):
            def __str__(self) -> str:
                raise RuntimeError("not even that")

        bench.agent("failing", self.failing(Unspeakable()), retry=RetryPolicy.never())
        row = bench.execute(bench.spawn("failing"), 1)
        assert (row.state, row.reason) == (State.FAILED, "AGENT_ERROR")
        assert bench.deps.gate.held() == 0

    def test_an_error_with_unstorable_words_is_a_failure_too(self, bench: Bench) -> None:
        error = ValueError("nul \x00, lone \ud800, long " + "x" * 100_000)
        bench.agent("failing", self.failing(error), retry=RetryPolicy.never())
        row = bench.execute(bench.spawn("failing"), 1)
        assert row.state is State.FAILED
        assert row.error is not None
        assert len(row.error["message"]) <= 2_000

    def test_an_agent_that_is_not_loaded_is_left_to_other_workers(self, bench: Bench) -> None:
        one = bench.spawn("add")
        execute(bench.deps, bench.new_host("without", Registry()), one, 1)
        row = bench.row(one)
        assert row.error is not None
        assert "does not have the agent 'add'" in row.error["message"]
        assert "--agents" in row.error["message"]
        assert (row.state, row.failures) == (State.QUEUED, 1)

    def test_an_agent_that_no_worker_has_fails_as_such(self, bench: Bench) -> None:
        bench.agent("rare", lambda _ctx: 1, retry=RetryPolicy.never())
        one = bench.spawn("rare")
        execute(bench.deps, bench.new_host("without", Registry()), one, 1)
        assert (bench.row(one).state, bench.row(one).reason) == (State.FAILED, "AGENT_NOT_LOADED")


class TestResult:
    """What an agent returns is a JSON value, or a clear failure that no retry can help."""

    def returned(self, bench: Bench, value: object) -> Any:
        bench.agent("returning", lambda _ctx: value)
        return bench.execute(bench.spawn("returning"), 1)

    @pytest.mark.parametrize("value", [None, 0, "", [], {}, {"a": [1, 2.5, "ü", None, True]}])
    def test_every_json_value_is_a_result(self, bench: Bench, value: object) -> None:
        row = self.returned(bench, value)
        assert (row.state, row.result) == (State.COMPLETED, value)

    @pytest.mark.parametrize(
        ("value", "words"),
        [
            ({"when": {1}}, r"result.when is of type set"),
            ({"n": float("nan")}, "result.n is nan"),
            ({"k": ["\x00"]}, "result.k[0] contains a NUL"),
            ({1: 2}, "result has the key 1"),
            (object(), "result is of type object"),
            ("x" * 300_000, "at most 262,144 are allowed"),
        ],
    )
    def test_anything_else_fails_for_good(self, bench: Bench, value: object, words: str) -> None:
        row = self.returned(bench, value)
        assert (row.state, row.reason, row.failures) == (State.FAILED, "INVALID_RESULT", 1)
        assert words in row.error["message"]
        assert bench.deps.gate.held() == 0


class TestReplay:
    """An agent that runs again is given the children it had."""

    def test_the_same_spawns_find_the_same_children(self, bench: Bench) -> None:
        children: list[list[str]] = []

        def parent(ctx: Context) -> None:
            children.append([ctx.spawn("add", {"a": n}).id for n in range(3)])
            if len(children) == 1:
                raise ConnectionError

        bench.agent("parent", parent, retry=RetryPolicy(first_delay=0))
        one = bench.spawn("parent")
        bench.execute(one, 1)
        bench.offer()
        assert bench.execute(one, 2).state is State.COMPLETED
        assert children[0] == children[1]
        assert len(bench.deps.store.subtree(one)) == 4

    def test_another_order_fails_it_for_good_and_says_where(self, bench: Bench) -> None:
        def moody(ctx: Context) -> None:
            first = ctx.attempt == 1
            ctx.spawn("add", {"a": 1})
            ctx.spawn("add" if first else "echo", {"a": 2})
            if first:
                raise ConnectionError

        bench.agent("moody", moody, retry=RetryPolicy(max_attempts=9, first_delay=0))
        one = bench.spawn("moody")
        bench.execute(one, 1)
        bench.offer()
        row = bench.execute(one, 2)
        assert (row.state, row.failures) == (State.FAILED, 2)
        assert row.error is not None
        assert row.error["type"] == "NonDeterministicAgent"
        assert "operation number 1 is spawn 'echo'" in row.error["message"]
        assert "spawn 'add' was recorded" in row.error["message"]

    def test_a_refusal_that_was_caught_does_not_move_the_others(self, bench: Bench) -> None:
        """Refused at first, accepted when it runs again: limits are not the agent's doing."""

        def careful(ctx: Context) -> None:
            try:
                ctx.spawn("add", {"a": 1}, on_limit="refuse", pool="scarce")
            except Exception:
                ctx.log.info("goes on without")
            ctx.spawn("add", {"a": 2})
            if ctx.attempt == 1:
                raise ConnectionError

        bench.agent("careful", careful, retry=RetryPolicy(first_delay=0))
        one = bench.spawn("careful")
        bench.execute(one, 1)
        bench.offer()
        bench.offer(5, pool="scarce", worker="late")
        assert bench.execute(one, 2).state is State.COMPLETED


class TestStop:
    """What runs is stopped: by itself, by force, and at last without it."""

    def start(self, bench: Bench, function: Callable[[Context], Any], **fields: Any) -> Any:
        begun = threading.Event()

        def agent(ctx: Context) -> Any:
            begun.set()
            return function(ctx)

        bench.agent("stoppable", agent, retry=RetryPolicy.never())
        one = bench.spawn("stoppable", **fields)
        thread = threading.Thread(target=bench.execute, args=(one, 1), daemon=True)
        thread.start()
        assert begun.wait(20)
        return one, thread

    def test_a_check_leaves_a_cancelled_run(self, bench: Bench) -> None:
        cancelled = threading.Event()

        def looks(ctx: Context) -> None:
            cancelled.wait(20)
            ctx.check()

        one, thread = self.start(bench, looks)
        cancel(bench.deps, one)
        bench.beat()
        cancelled.set()
        thread.join(20)
        assert bench.deps.gate.held() == 0
        assert bench.row(one).state is State.CANCELLED

    def test_a_timeout_is_a_failure_with_its_reason(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def spins(_ctx: Context) -> None:
            while True:
                pass

        one, thread = self.start(bench, spins, timeout=1e-9)
        monkeypatch.setattr(heartbeat, "INTERRUPT_AFTER", -1.0)
        bench.enforce()  # stops it
        bench.enforce()  # breaks into it
        thread.join(20)
        row = bench.row(one)
        assert (row.state, row.reason, row.failures) == (State.FAILED, "TIMEOUT", 1)
        assert row.error is not None
        assert "ran longer than 1e-09 s" in row.error["message"]
        assert bench.deps.gate.held() == 0

    def test_code_that_cannot_be_broken_into_is_abandoned(self, bench: Bench) -> None:
        returns = threading.Event()

        def blocks(_ctx: Context) -> str:
            returns.wait(20)
            return "too late"

        one, thread = self.start(bench, blocks)
        cancel(bench.deps, one)
        bench.beat()
        bench.enforce(abandon=True)
        wait_until(lambda: bench.deps.gate.held() == 0, "its slot is free although it runs on")
        assert bench.running.all() == []
        # The pool may run another meanwhile, and has its thread again once it returns.
        assert sum(bench.parked) == 1
        returns.set()
        thread.join(20)
        assert sum(bench.parked) == 0
        assert bench.row(one).state is State.CANCELLED
        assert bench.deps.gate.held() == 0

    def test_a_stop_that_is_swallowed_does_not_undo_the_end(self, bench: Bench) -> None:
        cancelled = threading.Event()

        def stubborn(ctx: Context) -> str:
            cancelled.wait(20)
            try:
                ctx.check()
            except BaseException:
                return "done all the same"
            return "never stopped"

        one, thread = self.start(bench, stubborn)
        cancel(bench.deps, one)
        bench.beat()
        cancelled.set()
        thread.join(20)
        row = bench.row(one)
        assert (row.state, row.result) == (State.CANCELLED, None)
        assert bench.deps.gate.held() == 0
