"""Danger: calls spend what is not there, or what they did not spend is lost."""

from __future__ import annotations

from orchestrator.agents.context import Context
from orchestrator.domain.budget import Budget
from orchestrator.domain.call import Amounts, CallRefusal
from orchestrator.domain.lifecycle import State
from orchestrator.domain.resource import Resource
from orchestrator.engine import budgets, exhaust, rebuild
from tests.engine.bench import LEASE, Bench
from tests.engine.tree import (
    accounts,
    caller_of,
    left,
    settle,
    take,
)


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


def test_one_that_only_warns_needs_from_above_only_what_it_lacks(bench: Bench) -> None:
    budgets.set_budget(bench.deps, "s", "default", Budget(tokens=100))
    parent = bench.begun_parent(session="s", budget=Budget(tokens=60, on_exhausted="warn"))
    assert take(bench, caller_of(parent), 80) == "taken"
    assert left(bench.deps) == {"tokens": 20}
    assert take(bench, caller_of(parent), 21) == "refused"
    assert take(bench, caller_of(parent), 20) == "taken"


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


def test_an_agent_that_meets_the_end_of_its_budget_is_not_tried_again(bench: Bench) -> None:
    def spend(ctx: Context) -> None:
        for _ in range(3):
            with ctx.call("plenty", input_tokens=30, output_tokens=10, usd=0.5) as call:
                call.settle(input_tokens=20, usd=0.25)

    bench.agent("spend", spend)
    bench.deps.gate.declare([Resource("plenty", requests_per_minute=None)])
    budgets.set_budget(bench.deps, "s", "default", Budget(tokens=75, usd=5.0))
    row = bench.execute(bench.spawn("spend", {}, session="s"))
    # 20 + 10 of each call, and 15 left are not enough for a third
    assert (row.state, row.reason, row.failures) == (State.FAILED, "BUDGET_EXCEEDED", 1)
    assert row.error is not None
    assert "tokens of session s" in row.error["message"]
    assert left(bench.deps) == {"tokens": 15, "usd": 4.5}
    # and the ledger says the same
    before = accounts(bench.deps)
    rebuild_from_nothing(bench)
    assert accounts(bench.deps) == before


def test_an_estimate_that_was_never_corrected_is_paid_also_without_redis(bench: Bench) -> None:
    def spend(ctx: Context) -> None:
        with ctx.call("plenty", input_tokens=30):
            rebuild_from_nothing(bench)

    bench.agent("spend", spend)
    budgets.set_budget(bench.deps, "s", "default", Budget(tokens=75))
    bench.execute(bench.spawn("spend", {}, session="s"))
    assert left(bench.deps) == {"tokens": 45}
    rebuild_from_nothing(bench)
    assert left(bench.deps) == {"tokens": 45}


def rebuild_from_nothing(bench: Bench) -> None:
    """Redis is emptied and filled again."""
    bench.deps.gate.redis.flushall()
    rebuild.run_once(bench.deps)
