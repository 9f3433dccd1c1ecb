"""Danger: something happens and no metric tells of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from prometheus_client import REGISTRY

from orchestrator.agents.context import Context
from orchestrator.domain.call import Amounts, Outcome
from orchestrator.domain.errors import SpawnRefused, StoreUnavailable
from orchestrator.domain.provider import Hint
from orchestrator.domain.report import Report
from orchestrator.domain.retry import RetryPolicy
from orchestrator.engine import call, overview
from orchestrator.engine.overview import Reading
from orchestrator.engine.rounds import run_round
from orchestrator.telemetry import instruments
from tests.engine.bench import Bench

Counted = Callable[..., float]


@pytest.fixture
def counted() -> Counted:
    """By how much a sample has grown since the test began, and was first asked for."""
    instruments.switch_on()
    known = {
        (s.name, *sorted(s.labels.items())): s.value for m in REGISTRY.collect() for s in m.samples
    }

    def growth(name: str, **labels: str) -> float:
        value = REGISTRY.get_sample_value(f"orchestrator_{name}", labels) or 0.0
        return value - known.get((f"orchestrator_{name}", *sorted(labels.items())), 0.0)

    return growth


def test_verdicts_are_counted_by_code(bench: Bench, counted: Counted) -> None:
    bench.limit(max_depth=0)
    parent = bench.begun_parent(tenant="acme")
    with pytest.raises(SpawnRefused):
        bench.spawn(parent=parent, tenant="acme")
    bench.spawn(tenant="acme")
    refused = {"decision": "refused", "code": "MAX_DEPTH_EXCEEDED", "tenant": "acme"}
    assert counted("verdicts_total", **refused) == 1
    assert counted("verdicts_total", decision="admitted", code="", tenant="acme") == 2
    assert counted("spawn_seconds_count", answer="refused") == 1
    assert counted("spawn_seconds_count", answer="accepted") == 2
    assert counted("admission_seconds_count") == 3


def test_attempts_are_counted_by_how_they_were_left(bench: Bench, counted: Counted) -> None:
    def fail(ctx: Context) -> None:
        raise ValueError

    bench.agent("fails", fail, retry=RetryPolicy.never())
    bench.execute(bench.spawn("fails"))
    bench.execute(bench.spawn("add", {"a": 1}))
    assert counted("attempts_total", pool="default", outcome="failed", reason="AGENT_ERROR") == 1
    assert counted("attempts_total", pool="default", outcome="completed", reason="") == 1
    assert counted("run_seconds_count", agent="fails", outcome="failed") == 1
    assert counted("queue_wait_seconds_count", pool="default", priority="normal") == 2


def test_what_is_recorded_and_replayed_is_counted(bench: Bench, counted: Counted) -> None:
    def steps(ctx: Context) -> None:
        ctx.step("one", lambda: 1)
        ctx.step("two", lambda: 2)
        ctx.signal("go")

    bench.agent("steps", steps)
    one = bench.spawn("steps", session="s")
    bench.work_until(lambda: bench.row(one).reason == "WAITING_FOR_SIGNAL", "it waits")
    assert counted("journal_entries_total", kind="step") == 2
    assert counted("replayed_entries_total") == 0
    bench.deps.gate.wake([one])
    bench.work_until(lambda: bench.row(one).attempt == 2, "it was woken for nothing")
    bench.work_until(lambda: bench.row(one).reason == "WAITING_FOR_SIGNAL", "it waits again")
    assert counted("replayed_entries_total") == 2


def test_calls_are_counted_with_what_they_used(bench: Bench, counted: Counted) -> None:
    wish = call.Wish("llm", "acme", Amounts(requests=1, input_tokens=10))
    caller = call.begin(bench.deps, wish)
    call.end(bench.deps, caller, wish, Outcome.SUCCESS, {"input_tokens": 7.0}, Hint())
    assert counted("call_seconds_count", resource="llm", outcome="success") == 1
    assert counted("call_wait_seconds_count", resource="llm") == 1
    used = {"resource": "llm", "quantity": "input_tokens", "tenant": "acme", "agent": ""}
    assert counted("resource_used_total", **used) == 7


def test_rounds_of_housekeeping_are_counted(bench: Bench, counted: Counted) -> None:
    done = run_round(bench.deps, "here", "reap", 60.0, lambda _deps: Report("reap", orphans=3))
    assert done == {"orphans": 3}
    assert counted("housekeeping_seconds_count", round="reap") == 1
    assert counted("housekeeping_actions_total", round="reap", action="orphans") == 3


def values(bench: Bench) -> dict[tuple[str, ...], float]:
    def key(one: Reading) -> tuple[str, ...]:
        return (one.metric.name.removeprefix("orchestrator_"), *one.labels)

    return {key(one): one.value for one in overview.read(bench.deps)}


def test_the_whole_is_read_from_gate_and_database(bench: Bench) -> None:
    bench.limit(tenant_concurrency=1, pool_concurrency=5)
    first = bench.spawn(tenant="acme")
    bench.spawn(tenant="acme")
    found = values(bench)
    assert found["instances", "default", "running"] == 1
    assert found["tenant_instances", "acme", "queued"] == 1
    assert found["workers", "default"] == 1
    assert found["slots", "default", "offered"] == 100
    assert found["queue_oldest_seconds", "default"] > 0
    assert found["pool_stalled", "default"] == 0
    bench.execute(first)
    assert values(bench)["instances", "default", "running"] == 1


def test_a_pool_where_nothing_runs_is_stalled(bench: Bench) -> None:
    bench.spawn(pool="gpu")
    found = values(bench)
    assert found["pool_stalled", "gpu"] == 1
    assert found["workers", "gpu"] == 0


def test_a_server_that_is_away_is_told_and_the_other_is_read(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.spawn(pool="gpu")

    def away() -> None:
        raise StoreUnavailable("STORE_UNAVAILABLE", "away")

    monkeypatch.setattr(bench.deps.store, "oldest_ready", away)
    found = values(bench)
    assert (found["server_up", "redis"], found["server_up", "postgresql"]) == (1, 0)
    assert found["pool_stalled", "gpu"] == 1
    assert ("queue_oldest_seconds", "gpu") not in found


def test_what_all_beats_have_done_is_read(bench: Bench) -> None:
    run_round(bench.deps, "here", "reap", 60.0, lambda _deps: Report("reap", orphans=3))
    found = values(bench)
    assert found["housekeeping_done_total", "reap", "orphans"] == 3
    assert found["housekeeping_age_periods", "reap"] < 1


def test_tenants_beyond_the_bound_are_told_together(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overview, "MOST_VALUES", 1)
    for tenant in ("a", "b", "b", "c"):
        bench.spawn(tenant=tenant)
    found = values(bench)
    assert found["tenant_instances", "b", "running"] == 2
    assert found["tenant_instances", "other", "running"] == 2
    assert ("tenant_instances", "a", "running") not in found
