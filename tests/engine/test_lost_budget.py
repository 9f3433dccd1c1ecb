"""Danger: what a tree was given is lost, or given twice, when something dies on the way."""

from __future__ import annotations

import psycopg
import pytest

from orchestrator.domain.budget import Budget
from orchestrator.domain.errors import InvalidRequest, SpawnRefused
from orchestrator.domain.lifecycle import State
from orchestrator.engine import budgets, exhaust, rebuild, reconcile, sweep
from orchestrator.engine.cancel import cancel
from tests.engine.bench import DISPATCH, LEASE, Bench
from tests.engine.tree import (
    accounts,
    alerts,
    call_of,
    check_in_only,
    left,
    next_of,
    of_session,
)
from tests.support.make import parent_of


def test_a_session_that_failed_stays_failed_without_redis(bench: Bench) -> None:
    budgets.set_budget(bench.deps, "s", "default", Budget(spawns=1, on_exhausted="fail"))
    one = bench.spawn(session="s")
    with pytest.raises(SpawnRefused):
        bench.spawn(session="s")
    exhaust.run_once(bench.deps)
    assert bench.row(one).state is State.FAILED
    bench.deps.gate.redis.flushall()
    rebuild.run_once(bench.deps)
    assert of_session(bench.deps).exhausted == "spawns"
    with pytest.raises(SpawnRefused, match="session s"):
        bench.spawn(session="s")


def test_alerts_come_once_each_whatever_is_lost(bench: Bench) -> None:
    budgets.set_budget(bench.deps, "s", "default", Budget(spawns=10))
    first = bench.spawn(session="s")
    for _ in range(4):
        bench.spawn(session="s")
    # Redis is emptied before anybody told of the first
    bench.deps.gate.redis.flushall()
    rebuild.run_once(bench.deps)
    assert exhaust.run_once(bench.deps).alerts == 1
    for _ in range(5):
        bench.spawn(session="s")
    # and after
    bench.deps.gate.redis.flushall()
    rebuild.run_once(bench.deps)
    exhaust.run_once(bench.deps)
    exhaust.run_once(bench.deps)
    assert alerts(bench.deps, first) == [("spawns", 50), ("spawns", 80), ("spawns", 100)]


def test_two_rounds_at_once_tell_once(bench: Bench) -> None:
    budgets.set_budget(bench.deps, "s", "default", Budget(spawns=1))
    first = bench.spawn(session="s")
    seen = bench.deps.gate.alerts(0, 10)
    exhaust.run_once(bench.deps)
    # The other round had read them before.
    bench.deps.gate.redis.zadd("{orchestrator}:alerts", dict.fromkeys(seen, 0))
    exhaust.run_once(bench.deps)
    assert [percent for _, percent in alerts(bench.deps, first)] == [50, 80, 100]


def test_a_spawn_that_is_not_recorded_was_none(bench: Bench) -> None:
    budgets.set_budget(bench.deps, "s", "default", Budget(tokens=100, spawns=5, live=5))
    share = Budget(tokens=60, spawns=2)
    one = bench.spawn(session="s", idempotency_key="k", budget=share)
    before = accounts(bench.deps)
    assert bench.spawn(session="s", idempotency_key="k") == one
    assert accounts(bench.deps) == before


def test_a_check_in_that_nobody_follows_gives_everything_back(bench: Bench) -> None:
    budgets.set_budget(bench.deps, "s", "default", Budget(tokens=100, spawns=5, live=5))
    before = accounts(bench.deps)
    check_in_only(bench, Budget(tokens=60, spawns=2))
    assert left(bench.deps) == {"tokens": 40, "spawns": 2}
    bench.advance(LEASE)
    sweep.run_once(bench.deps)
    assert accounts(bench.deps) == before


def test_a_recorded_spawn_that_was_cancelled_before_its_follow_counts(bench: Bench) -> None:
    budgets.set_budget(bench.deps, "s", "default", Budget(tokens=100, spawns=5))
    new = check_in_only(bench, Budget(tokens=60, spawns=2))
    bench.deps.store.record(new)
    bench.deps.store.cancel([new.id], "CANCELLED", "PARENT_ENDED")
    bench.advance(LEASE)
    sweep.run_once(bench.deps)
    assert left(bench.deps) == {"tokens": 100, "spawns": 4}


def test_a_cancelled_tree_gives_back_when_its_code_has_ended(bench: Bench) -> None:
    budgets.set_budget(bench.deps, "s", "default", Budget(tokens=100, live=5))
    parent = bench.begun_parent(session="s", budget=Budget(tokens=60))
    child = bench.begin(bench.spawn(parent=parent))
    cancel(bench.deps, parent.id)
    bench.deps.gate.release(parent.id, parent.attempt)
    # A child that still runs may still spend what was given.
    assert left(bench.deps) == {"tokens": 40}
    bench.deps.gate.release(child.id, child.attempt)
    assert left(bench.deps) == {"tokens": 100}
    assert of_session(bench.deps).live == 0


def test_a_dead_attempt_loses_nothing(bench: Bench) -> None:
    budgets.set_budget(bench.deps, "s", "default", Budget(tokens=100, spawns=5, live=5))
    parent = bench.begun_parent(session="s", budget=Budget(tokens=60, spawns=2))
    bench.spawn(parent=parent)
    before = accounts(bench.deps)
    bench.advance(DISPATCH)
    sweep.run_once(bench.deps)
    assert bench.row(parent.id).state is State.QUEUED
    assert accounts(bench.deps) == before


def test_rebuilt_is_what_it_was(bench: Bench, sql: psycopg.Connection) -> None:
    deps = bench.deps
    bounds = Budget(tokens=5000, usd=9.0, spawns=50, live=20, depth=4, deadline=3600)
    budgets.set_budget(deps, "s", "default", bounds)
    parent = bench.begun_parent(session="s", budget=Budget(tokens=900, spawns=8, live=6))
    child = bench.begin(bench.spawn(parent=parent, budget=Budget(usd=3.0, spawns=2, deadline=60)))
    bench.spawn(parent=parent_of(child))
    bench.spawn(parent=next_of(parent))
    ended = bench.spawn(session="s", budget=Budget(tokens=100, spawns=1))
    bench.execute(ended)
    # Without any budget of a session
    bench.begun_parent(session="t", budget=Budget(tokens=70, on_exhausted="warn"))
    before = accounts(deps, "")
    deps.gate.redis.flushall()
    rebuild.run_once(deps)
    assert accounts(deps, "") == before
    # What calls used is charged to the nearest budget, or where that has ended, above
    for one, tokens, usd in ((child.id, 30, 0.25), (parent.id, 50, 0.5), (ended, 7, 1e-9)):
        call_of(sql, one, tokens, usd)
    deps.gate.redis.flushall()
    rebuild.run_once(deps)
    nearest, above, session = deps.gate.read_budgets("default", "s", child.id)
    assert [(use.quantity, use.used) for use in nearest.uses] == [("usd", 0.25), ("spawns", 1)]
    assert [(use.quantity, use.used) for use in above.uses] == [("tokens", 80), ("spawns", 2)]
    used = {use.quantity: (use.used, use.granted) for use in session.uses}
    assert used == {"tokens": (7, 900), "usd": (0.500000001, 3.0), "spawns": (2, 8)}


def test_who_ended_while_a_rebuild_counted_is_taken_out(bench: Bench) -> None:
    budgets.set_budget(bench.deps, "s", "default", Budget(tokens=100, live=5))
    one = bench.spawn(session="s", budget=Budget(tokens=60))
    bench.deps.gate.redis.flushall()
    bench.deps.gate.begin_rebuild("token", 10.0)
    rebuild.configure(bench.deps)
    budgets.load(bench.deps, ["s"])
    bench.deps.store.cancel([one], "CANCELLED", "PARENT_ENDED")
    bench.deps.gate.finish_rebuild("token")
    assert of_session(bench.deps).live == 1
    reconcile.run_once(bench.deps)
    assert of_session(bench.deps).live == 0
    assert left(bench.deps) == {"tokens": 100}


def test_a_budget_that_the_gate_did_not_hear_of_comes_with_the_next_round(bench: Bench) -> None:
    bench.deps.store.budgets.set("s", "default", Budget(spawns=1))
    assert budgets.read(bench.deps, "default", "s") == []
    reconcile.run_once(bench.deps)
    bench.spawn(session="s")
    with pytest.raises(SpawnRefused):
        bench.spawn(session="s")


def test_a_budget_set_late_counts_what_was(bench: Bench, sql: psycopg.Connection) -> None:
    parent = bench.begun_parent(session="s", budget=Budget(tokens=40))
    call_of(sql, bench.spawn(session="s"), 5, 0.0)
    budgets.set_budget(bench.deps, "s", "default", Budget(tokens=100, spawns=3, live=3))
    assert left(bench.deps) == {"tokens": 55, "spawns": 1}
    assert of_session(bench.deps).live == 2
    bench.deps.gate.release(parent.id, parent.attempt)
    assert left(bench.deps) == {"tokens": 95, "spawns": 1}


def test_a_new_budget_of_a_session_keeps_what_was_used(bench: Bench) -> None:
    budgets.set_budget(bench.deps, "s", "default", Budget(spawns=2))
    bench.spawn(session="s")
    budgets.set_budget(bench.deps, "s", "default", Budget(spawns=5, tokens=10))
    assert left(bench.deps) == {"tokens": 10, "spawns": 4}
    budgets.set_budget(bench.deps, "s", "default", Budget(tokens=10))
    assert left(bench.deps) == {"tokens": 10}
    budgets.set_budget(bench.deps, "s", "default", Budget(spawns=1))
    assert left(bench.deps) == {"spawns": 0}


def test_a_session_of_another_tenant_is_none_of_ours(bench: Bench) -> None:
    bench.spawn(session="s", tenant="other")
    with pytest.raises(InvalidRequest, match="another tenant"):
        budgets.set_budget(bench.deps, "s", "default", Budget(tokens=10))
