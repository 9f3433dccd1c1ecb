"""Danger: a tree uses more than it was given, or what it was given is lost on the way."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from orchestrator.admission.calls import Caller
from orchestrator.domain.budget import Budget, BudgetState
from orchestrator.domain.call import Amounts, CallRefusal, Outcome
from orchestrator.domain.errors import InvalidRequest, SpawnRefused
from orchestrator.domain.ids import new_id
from orchestrator.domain.instance import NewInstance, Parent, SpawnRequest
from orchestrator.domain.lifecycle import State
from orchestrator.engine import budgets, exhaust, rebuild, reconcile, sweep
from orchestrator.engine.cancel import cancel
from orchestrator.engine.deps import Deps
from orchestrator.engine.prepare import prepare
from tests.engine.bench import DISPATCH, LEASE, Bench
from tests.gate import observe
from tests.support.make import parent_of


def of_session(deps: Deps, session: str = "s") -> BudgetState:
    [found] = budgets.read(deps, "default", session)
    return found


def left(deps: Deps, session: str = "s") -> dict[str, float]:
    return {use.quantity: use.left for use in of_session(deps, session).uses}


def accounts(deps: Deps, more: str = "|_told") -> dict[str, Any]:
    """All that the gate has of budgets, without counts that are nothing, and what was told."""
    found = observe.dump(deps.gate.redis)
    return {name: _short(value, more) for name, value in found.items() if ":account" in name}


def _short(value: Any, more: str) -> Any:
    if not isinstance(value, dict):
        return value
    return {
        field: text
        for field, text in value.items()
        if not re.search(f"_(used|held|lent)=0${more}", f"{field}={text}")
    }


def alerts(deps: Deps, instance_id: str, budget: str = "session s") -> list[tuple[str, int]]:
    found = [one.detail for one in deps.store.events(instance_id) if one.kind == "budget_alert"]
    return [
        (detail["quantity"], detail["percent"])
        for detail in found
        if detail and detail["budget"] == budget
    ]


def call_of(sql: psycopg.Connection, instance_id: str, tokens: int, usd: float) -> None:
    """A line of the ledger."""
    sql.execute(
        "INSERT INTO calls (id, resource, tenant, instance_id, outcome, requests, input_tokens,"
        " output_tokens, usd, started_at) VALUES (%s, 'r', 'default', %s, 'success', 1, %s, 0, %s,"
        " now())",
        (new_id(), instance_id, tokens, usd),
    )


def test_what_is_given_to_a_child_is_taken_and_returns(bench: Bench) -> None:
    budgets.set_budget(bench.deps, "s", "default", Budget(tokens=1000, usd=2.5, spawns=10))
    one = bench.spawn(session="s", budget=Budget(tokens=400, usd=1.0, spawns=3))
    assert left(bench.deps) == {"tokens": 600, "usd": 1.5, "spawns": 6}
    assert bench.execute(one).state is State.COMPLETED
    assert left(bench.deps) == {"tokens": 1000, "usd": 2.5, "spawns": 9}


def test_more_than_there_is_is_refused_and_leaves_nothing(bench: Bench) -> None:
    budgets.set_budget(bench.deps, "s", "default", Budget(tokens=1000, usd=2.5))
    bench.spawn(session="s", budget=Budget(tokens=400))
    before = accounts(bench.deps)
    with pytest.raises(SpawnRefused, match="session s has not enough tokens") as caught:
        bench.spawn(session="s", budget=Budget(tokens=601, usd=1.0))
    error = caught.value
    assert (error.code, error.limit, error.current) == ("BUDGET_EXCEEDED", 1000, 400)
    assert not error.retryable
    with pytest.raises(SpawnRefused, match=r"not enough usd left: 0 of 2.5 .* 2.6 more"):
        bench.spawn(session="s", budget=Budget(usd=2.6))
    assert accounts(bench.deps) == before


def test_live_instances_count_along_the_whole_chain(bench: Bench) -> None:
    budgets.set_budget(bench.deps, "s", "default", Budget(live=3))
    parent = bench.begun_parent(session="s", budget=Budget(live=2))
    child = bench.spawn(parent=parent)
    with pytest.raises(SpawnRefused, match=f"instance {parent.id} lets 2 instances be live") as own:
        bench.spawn(parent=_next(parent))
    assert own.value.retryable
    bench.spawn(session="s")
    with pytest.raises(SpawnRefused, match="session s lets 3 instances be live"):
        bench.spawn(session="s")
    bench.execute(child)
    bench.spawn(session="s")


def test_depth_is_relative_to_the_owner(bench: Bench) -> None:
    budgets.set_budget(bench.deps, "s", "default", Budget(depth=2))
    root = bench.begun_parent(session="s")
    child = bench.begin(bench.spawn(parent=root, budget=Budget(depth=0)))
    with pytest.raises(SpawnRefused, match=f"instance {child.id} lets 0 levels"):
        bench.spawn(parent=parent_of(child))
    other = bench.begin(bench.spawn(parent=_next(root)))
    leaf = bench.begin(bench.spawn(parent=parent_of(other)))
    with pytest.raises(SpawnRefused, match="session s lets 2 levels"):
        bench.spawn(parent=parent_of(leaf))


def test_at_the_deadline_the_subtree_ends(bench: Bench) -> None:
    parent = bench.begun_parent(session="s", budget=Budget(deadline=60))
    child = bench.spawn(parent=parent)
    other = bench.spawn(session="s")
    assert exhaust.run_once(bench.deps).exhausted == 0
    bench.advance(60)
    with pytest.raises(SpawnRefused, match="deadline of the budget of instance"):
        bench.spawn(parent=_next(parent))
    assert exhaust.run_once(bench.deps).exhausted == 2
    top, below = bench.row(parent.id), bench.row(child)
    assert (top.state, top.reason) == (State.FAILED, "BUDGET_EXCEEDED")
    assert top.error is not None
    assert "deadline" in top.error["message"]
    assert (below.state, below.reason) == (State.CANCELLED, "BUDGET_EXCEEDED")
    assert bench.row(other).state is State.QUEUED
    assert exhaust.run_once(bench.deps).exhausted == 0


def test_the_earliest_deadline_of_the_chain_holds(bench: Bench) -> None:
    soon = datetime.now(UTC) + timedelta(hours=1)
    budgets.set_budget(bench.deps, "s", "default", Budget(deadline=soon))
    parent = bench.begun_parent(session="s", budget=Budget(deadline=soon + timedelta(days=1)))
    bench.advance(3601)
    with pytest.raises(SpawnRefused, match="deadline of the budget of session s"):
        bench.spawn(parent=parent)
    assert exhaust.run_once(bench.deps).exhausted == 1
    assert bench.row(parent.id).reason == "BUDGET_EXCEEDED"


def test_a_deadline_that_is_put_off_holds_no_more(bench: Bench) -> None:
    budgets.set_budget(bench.deps, "s", "default", Budget(deadline=60))
    one = bench.spawn(session="s")
    bench.advance(61)
    budgets.set_budget(bench.deps, "s", "default", Budget(deadline=600))
    assert exhaust.run_once(bench.deps).exhausted == 0
    assert bench.row(one).state is State.QUEUED
    bench.spawn(session="s")


def test_a_tree_that_is_to_fail_fails_at_the_first_refusal(bench: Bench) -> None:
    parent = bench.begun_parent(session="s", budget=Budget(spawns=1, on_exhausted="fail"))
    child = bench.spawn(parent=parent)
    with pytest.raises(SpawnRefused, match="not enough spawns"):
        bench.spawn(parent=_next(parent))
    assert exhaust.run_once(bench.deps).exhausted == 2
    assert bench.row(parent.id).reason == bench.row(child).reason == "BUDGET_EXCEEDED"


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


def test_one_that_only_warns_takes_the_rest_from_above(bench: Bench) -> None:
    budgets.set_budget(bench.deps, "s", "default", Budget(spawns=5))
    parent = bench.begun_parent(session="s", budget=Budget(spawns=1, on_exhausted="warn"))
    for position in range(4):
        bench.spawn(parent=_next(parent, position))
    assert left(bench.deps) == {"spawns": 0}
    with pytest.raises(SpawnRefused, match="session s has not enough spawns"):
        bench.spawn(parent=_next(parent, 5))
    exhaust.run_once(bench.deps)
    told = [("spawns", 50), ("spawns", 80), ("spawns", 100)]
    assert alerts(bench.deps, parent.id, f"instance {parent.id}") == told
    assert alerts(bench.deps, parent.id) == told


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


def test_a_call_reserves_its_estimate_and_pays_what_it_used(bench: Bench) -> None:
    budgets.set_budget(bench.deps, "s", "default", Budget(tokens=100, usd=1.0))
    parent = bench.begun_parent(session="s")
    one = caller_of(parent)
    assert take(bench, one, 40, 0.5) == "taken"
    assert left(bench.deps) == {"tokens": 60, "usd": 0.5}
    assert take(bench, one, 40, 0.5) == "taken"
    settle(bench, one, 30, 0.25)
    settle(bench, one, 30, 0.25)
    assert left(bench.deps) == {"tokens": 70, "usd": 0.75}


def test_a_call_beyond_the_budget_is_refused_by_name(bench: Bench) -> None:
    budgets.set_budget(bench.deps, "s", "default", Budget(tokens=100))
    parent = bench.begun_parent(session="s", budget=Budget(tokens=60))
    verdict = bench.deps.gate.acquire(
        caller_of(parent), Amounts(input_tokens=50, output_tokens=11), may_wait=True
    )
    assert verdict.refusal is CallRefusal.BUDGET_EXCEEDED
    assert verdict.scope == f"tokens of instance {parent.id}"
    assert take(bench, caller_of(parent), 60) == "taken"


def test_a_debt_is_felt_above_at_once(bench: Bench) -> None:
    budgets.set_budget(bench.deps, "s", "default", Budget(tokens=100))
    parent = bench.begun_parent(session="s", budget=Budget(tokens=60))
    one = caller_of(parent)
    assert take(bench, one, 60) == "taken"
    settle(bench, one, 90)
    assert left(bench.deps) == {"tokens": 10}
    assert take(bench, caller_of(parent), 1) == "refused"
    bench.deps.gate.release(parent.id, parent.attempt)
    assert left(bench.deps) == {"tokens": 10}


def test_a_tree_that_is_to_fail_fails_when_it_is_in_debt(bench: Bench) -> None:
    parent = bench.begun_parent(session="s", budget=Budget(tokens=60, on_exhausted="fail"))
    one = caller_of(parent)
    take(bench, one, 60)
    settle(bench, one, 60)
    assert exhaust.run_once(bench.deps).exhausted == 0
    other = caller_of(parent)
    take(bench, other, 0)
    settle(bench, other, 1)
    assert exhaust.run_once(bench.deps).exhausted == 1
    assert bench.row(parent.id).reason == "BUDGET_EXCEEDED"


def test_what_a_lost_call_held_is_free_again(bench: Bench) -> None:
    budgets.set_budget(bench.deps, "s", "default", Budget(tokens=100))
    one = caller_of(bench.begun_parent(session="s"))
    take(bench, one, 40)
    exhaust.run_once(bench.deps)
    assert left(bench.deps) == {"tokens": 60}
    bench.advance(LEASE - 1)
    bench.deps.gate.renew_calls([one])
    bench.advance(LEASE - 1)
    exhaust.run_once(bench.deps)
    assert left(bench.deps) == {"tokens": 60}
    bench.advance(LEASE)
    exhaust.run_once(bench.deps)
    assert left(bench.deps) == {"tokens": 100}
    # It was only late
    settle(bench, one, 30)
    assert left(bench.deps) == {"tokens": 70}


def test_a_call_that_was_not_made_costs_nothing(bench: Bench) -> None:
    budgets.set_budget(bench.deps, "s", "default", Budget(tokens=100))
    one = caller_of(bench.begun_parent(session="s"))
    take(bench, one, 40)
    bench.deps.gate.give_up(one)
    assert left(bench.deps) == {"tokens": 100}


def test_a_call_under_way_when_redis_was_emptied_pays(bench: Bench) -> None:
    budgets.set_budget(bench.deps, "s", "default", Budget(tokens=100))
    one = caller_of(bench.begun_parent(session="s", budget=Budget(tokens=50)))
    take(bench, one, 40)
    bench.deps.gate.redis.flushall()
    rebuild.run_once(bench.deps)
    settle(bench, one, 30)
    own, session = bench.deps.gate.read_budgets("default", "s", one.instance)
    assert own.uses[0].used == 30
    assert session.uses[0].left == 50


def test_the_share_of_a_caller_that_ended_comes_back_with_its_last_call(bench: Bench) -> None:
    budgets.set_budget(bench.deps, "s", "default", Budget(tokens=100))
    parent = bench.begun_parent(session="s", budget=Budget(tokens=60))
    one = caller_of(parent)
    take(bench, one, 10)
    bench.deps.gate.release(parent.id, parent.attempt)
    assert left(bench.deps) == {"tokens": 40}
    settle(bench, one, 15)
    assert left(bench.deps) == {"tokens": 85}


def test_rebuilt_is_what_it_was(bench: Bench, sql: psycopg.Connection) -> None:
    deps = bench.deps
    bounds = Budget(tokens=5000, usd=9.0, spawns=50, live=20, depth=4, deadline=3600)
    budgets.set_budget(deps, "s", "default", bounds)
    parent = bench.begun_parent(session="s", budget=Budget(tokens=900, spawns=8, live=6))
    child = bench.begin(bench.spawn(parent=parent, budget=Budget(usd=3.0, spawns=2, deadline=60)))
    bench.spawn(parent=parent_of(child))
    bench.spawn(parent=_next(parent))
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


def check_in_only(bench: Bench, budget: Budget) -> NewInstance:
    """A spawn whose process dies right after its check-in."""
    request = SpawnRequest("echo", session="s", budget=budget)
    new = prepare(bench.deps, request)
    assert bench.deps.gate.check_in(new, "queue").refusal is None
    return new


def caller_of(parent: Parent) -> Caller:
    return Caller(new_id(), "llm", "default", parent.id)


def take(bench: Bench, caller: Caller, tokens: int, usd: float = 0.0) -> str:
    amounts = Amounts(input_tokens=tokens, usd=usd)
    return bench.deps.gate.acquire(caller, amounts, may_wait=False).decision


def settle(bench: Bench, caller: Caller, tokens: int, usd: float = 0.0) -> None:
    bench.deps.gate.settle_call(caller, Outcome.SUCCESS, {"input_tokens": tokens, "usd": usd})


def _next(parent: Parent, position: int = 1) -> Parent:
    return replace(parent, position=position)
