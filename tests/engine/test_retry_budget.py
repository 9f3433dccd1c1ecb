"""A broken dependency is not asked several times as often: sessions have a budget of retries."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from orchestrator.agents.context import Context
from orchestrator.domain.lifecycle import State
from orchestrator.domain.retry import RetryBudget, RetryPolicy
from orchestrator.engine import sweep
from orchestrator.store.control import RetriesUsedUp
from tests.engine.bench import DISPATCH, Bench


@pytest.fixture
def bench(bench: Bench) -> Bench:
    """Two retries a minute, and one for each five instances; an agent that always fails."""

    def fails(_ctx: Context) -> None:
        raise ConnectionError("the dependency is down")

    bench.deps = replace(bench.deps, retries=RetryBudget(ratio=0.2, floor=2))
    bench.agent("fails", fails, retry=RetryPolicy(max_attempts=100, first_delay=0))
    return bench


def storm(bench: Bench, count: int, session: str = "s") -> list[Any]:
    """Run so many to their ends; their rows."""
    ids = [bench.spawn("fails", session=session) for _ in range(count)]
    while live := [one for one in ids if not bench.row(one).state.is_terminal]:
        for one in live:
            bench.execute(one)
    return [bench.row(one) for one in ids]


def retries(rows: list[Any]) -> int:
    return int(sum(row.failures for row in rows)) - len(rows)


def pass_a_minute(bench: Bench) -> None:
    with bench.deps.store.database.connection() as connection:
        connection.execute("UPDATE retry_budgets SET free_since = now() - interval '61 seconds'")


def test_a_storm_is_bounded(bench: Bench) -> None:
    rows = storm(bench, 20)
    assert retries(rows) == 2 + 20 / 5
    assert {row.state for row in rows} == {State.FAILED}
    for row in rows:
        assert row.reason == "RETRY_BUDGET_EXHAUSTED"
        assert (row.error["type"], row.error["message"]) == (
            "ConnectionError",
            "the dependency is down",
        )


def test_a_few_retries_are_always_free_and_come_back(bench: Bench) -> None:
    assert retries(storm(bench, 1)) == 2
    assert retries(storm(bench, 1)) == 0
    pass_a_minute(bench)
    assert retries(storm(bench, 1)) == 2


def test_sessions_have_budgets_of_their_own(bench: Bench) -> None:
    assert retries(storm(bench, 1, "one")) == 2
    assert retries(storm(bench, 1, "other")) == 2


def test_what_succeeds_pays_for_retries(bench: Bench) -> None:
    """The share is of all that the session has begun."""
    assert retries(storm(bench, 1)) == 2
    for _ in range(9):
        bench.execute(bench.spawn(session="s"))
    assert retries(storm(bench, 1)) == (9 + 2) // 5


def test_no_ratio_leaves_the_floor_and_no_floor_the_ratio(bench: Bench) -> None:
    bench.deps = replace(bench.deps, retries=RetryBudget(ratio=0.0, floor=3))
    assert retries(storm(bench, 10, "a")) == 3
    bench.deps = replace(bench.deps, retries=RetryBudget(ratio=0.5, floor=0))
    assert retries(storm(bench, 10, "b")) == 5


def test_a_lost_worker_is_no_retry_of_the_session(bench: Bench) -> None:
    bench.deps = replace(bench.deps, retries=RetryBudget(ratio=0.0, floor=0))
    one = bench.spawn("fails", session="s")
    bench.begin(one)
    bench.advance(DISPATCH + 1)
    bench.offer()
    sweep.run_once(bench.deps)
    assert bench.row(one).state is State.QUEUED


def test_a_retry_that_is_not_made_is_not_counted(bench: Bench) -> None:
    """The attempt was fenced out meanwhile."""
    one = bench.begin(bench.spawn("fails", session="s"))
    hand_back = bench.deps.store.hand_back
    assert hand_back(one.id, 7, "RETRY", failed=True, retries=bench.deps.retries) is None
    assert retries(storm(bench, 1)) == 2


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as threads:
        yield threads


def test_those_that_fail_at_once_have_one_budget_together(
    bench: Bench, threads: ThreadPoolExecutor
) -> None:
    begun = [bench.begin(bench.spawn("fails", session="s")) for _ in range(40)]

    def fail(instance_id: str) -> bool:
        try:
            bench.deps.store.hand_back(
                instance_id, 1, "RETRY", failed=True, retries=bench.deps.retries
            )
        except RetriesUsedUp:
            return False
        return True

    assert sum(threads.map(fail, [one.id for one in begun])) == 2 + 40 / 5
