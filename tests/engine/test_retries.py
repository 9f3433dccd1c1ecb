"""Retries: what is tried again, what is told of it, and that it comes to an end."""

from __future__ import annotations

import json
from typing import Any

import pytest

from orchestrator.agents.context import Context
from orchestrator.agents.handle import failure_of
from orchestrator.domain.errors import CallRefused
from orchestrator.domain.lifecycle import State
from orchestrator.domain.resource import Resource
from orchestrator.domain.retry import RetryPolicy
from orchestrator.engine import resources, sweep
from tests.engine.bench import DISPATCH, Bench


class ReportFailed(Exception):
    """What an agent's own code raises."""


def run_to_end(bench: Bench, instance_id: str) -> Any:
    """Execute attempts until there is none to come."""
    while not bench.row(instance_id).state.is_terminal:
        if bench.glance(instance_id).place != "dispatched":
            bench.advance(10)
            bench.offer()
            sweep.run_once(bench.deps)
        bench.execute(instance_id)
    return bench.row(instance_id)


def fails_with(bench: Bench, error: Exception, cause: Exception | None = None, **lists: Any) -> str:
    def fails(_ctx: Context) -> None:
        raise error from cause

    bench.agent("fails", fails, retry=RetryPolicy(max_attempts=3, first_delay=1, **lists))
    return bench.spawn("fails")


@pytest.mark.parametrize(
    ("lists", "failures"),
    [
        ({}, 3),
        ({"retry_on": (OSError,)}, 3),
        ({"retry_on": (ValueError,)}, 1),
        ({"give_up_on": (ConnectionError,)}, 1),
        ({"retry_on": (ReportFailed,), "give_up_on": (OSError,)}, 3),
    ],
    ids=str,
)
def test_the_policy_decides_by_the_error_and_its_cause(
    bench: Bench, lists: dict[str, Any], failures: int
) -> None:
    one = fails_with(bench, ReportFailed("no"), ConnectionResetError("reset"), **lists)
    row = run_to_end(bench, one)
    assert (row.state, row.reason, row.failures) == (State.FAILED, "AGENT_ERROR", failures)


def test_the_last_error_tells_of_all_attempts_and_their_causes(bench: Bench) -> None:
    def fails(ctx: Context) -> None:
        raise ReportFailed(f"number {ctx.attempt}") from ConnectionResetError("reset")

    bench.agent("fails", fails, retry=RetryPolicy(max_attempts=3, first_delay=0))
    one = bench.spawn("fails")
    bench.execute(one)
    assert len(bench.row(one).error["attempts"]) == 1  # type: ignore[index]  # it failed
    row = run_to_end(bench, one)
    assert (row.error["type"], row.error["message"]) == ("ReportFailed", "number 3")
    assert row.error["causes"] == [{"type": "ConnectionResetError", "message": "reset"}]
    assert [(told["attempt"], told["message"]) for told in row.error["attempts"]] == [
        (1, "number 1"),
        (2, "number 2"),
        (3, "number 3"),
    ]
    assert failure_of(row).to_dict()["code"] == "AGENT_ERROR"


def test_a_crash_loop_comes_to_an_end(bench: Bench) -> None:
    """The worker dies with each attempt: it was counted before its code ran."""
    bench.agent("deadly", lambda _ctx: None, retry=RetryPolicy(max_attempts=3))
    one = bench.spawn("deadly")
    begun = 0
    while not bench.row(one).state.is_terminal:
        bench.begin(one)
        begun += 1
        assert bench.row(one).attempt == begun
        bench.advance(DISPATCH + 1)
        sweep.run_once(bench.deps)
        bench.offer()
        bench.deps.gate.pump()
    row = bench.row(one)
    assert (begun, row.reason, row.failures) == (3, "LEASE_EXPIRED", 3)
    assert row.error is not None
    assert [told["attempt"] for told in row.error["attempts"]] == [1, 2, 3]
    assert "WorkerLost" in str(failure_of(row))


def test_a_lost_worker_stands_among_the_other_attempts(bench: Bench) -> None:
    one = fails_with(bench, ValueError("no"))
    bench.begin(one)
    bench.advance(DISPATCH + 1)
    bench.offer()
    sweep.run_once(bench.deps)
    row = run_to_end(bench, one)
    kinds = [told["type"] for told in row.error["attempts"]]
    assert kinds == ["WorkerLost", "ValueError", "ValueError"]


def test_attempts_that_a_database_adds_are_bounded_too(bench: Bench) -> None:
    one = bench.spawn()
    with bench.deps.store.database.connection() as connection:
        error = None
        for attempt in range(1, 40):
            found = connection.execute(
                "SELECT add_attempt(%s::json, %s) AS error", [_json(error), attempt]
            ).fetchone()
            assert found is not None
            error = found["error"]
    assert error is not None
    assert [told["attempt"] for told in error["attempts"]] == list(range(20, 40))
    assert bench.row(one).error is None


def _json(value: Any) -> str | None:
    return None if value is None else json.dumps(value)


def test_an_open_breaker_burns_no_attempt_and_no_budget(bench: Bench) -> None:
    resources.declare(bench.deps, [Resource("llm")])
    resources.force(bench.deps, "llm", None, "open")

    def calls(ctx: Context) -> None:
        with pytest.raises(CallRefused) as caught, ctx.call("llm"):
            pass
        raise caught.value

    bench.agent("calls", calls, retry=RetryPolicy.never())
    one = bench.spawn("calls", session="s")
    row = bench.execute(one)
    assert (row.state, row.reason, row.failures) == (State.QUEUED, "BREAKER_OPEN", 0)
    with bench.deps.store.database.connection() as connection:
        assert connection.execute("SELECT FROM retry_budgets").fetchall() == []


def test_what_succeeds_in_the_end_has_no_error(bench: Bench) -> None:
    def flaky(ctx: Context) -> int:
        if ctx.attempt < 3:
            raise ValueError
        return ctx.attempt

    bench.agent("flaky", flaky, retry=RetryPolicy(first_delay=0))
    row = run_to_end(bench, bench.spawn("flaky"))
    assert (row.state, row.result, row.error, row.failures) == (State.COMPLETED, 3, None, 2)
