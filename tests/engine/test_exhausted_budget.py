"""Danger: a tree uses more than it was given."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.domain.budget import Budget
from orchestrator.domain.errors import SpawnRefused, StoreUnavailable
from orchestrator.domain.lifecycle import State
from orchestrator.engine import budgets, exhaust
from tests.engine.bench import LEASE, Bench
from tests.engine.tree import (
    accounts,
    alerts,
    left,
    next_of,
)
from tests.support.make import parent_of


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


def test_what_could_not_be_recorded_is_not_charged_though_its_place_ran_out(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    budgets.set_budget(bench.deps, "s", "default", Budget(spawns=1))

    def away(_new: object) -> bool:
        bench.advance(LEASE + 1)
        bench.deps.gate.sweep(10, 30.0)
        raise StoreUnavailable("STORE_UNAVAILABLE", "away for longer than a lease")

    with monkeypatch.context() as patch:
        patch.setattr(bench.deps.store, "record", away)
        with pytest.raises(StoreUnavailable):
            bench.spawn(session="s")
    bench.spawn(session="s")


def test_live_instances_count_along_the_whole_chain(bench: Bench) -> None:
    budgets.set_budget(bench.deps, "s", "default", Budget(live=3))
    parent = bench.begun_parent(session="s", budget=Budget(live=2))
    child = bench.spawn(parent=parent)
    with pytest.raises(SpawnRefused, match=f"instance {parent.id} lets 2 instances be live") as own:
        bench.spawn(parent=next_of(parent))
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
    other = bench.begin(bench.spawn(parent=next_of(root)))
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
        bench.spawn(parent=next_of(parent))
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
        bench.spawn(parent=next_of(parent))
    assert exhaust.run_once(bench.deps).exhausted == 2
    assert bench.row(parent.id).reason == bench.row(child).reason == "BUDGET_EXCEEDED"


def test_one_that_only_warns_takes_the_rest_from_above(bench: Bench) -> None:
    budgets.set_budget(bench.deps, "s", "default", Budget(spawns=5))
    parent = bench.begun_parent(session="s", budget=Budget(spawns=1, on_exhausted="warn"))
    for position in range(4):
        bench.spawn(parent=next_of(parent, position))
    assert left(bench.deps) == {"spawns": 0}
    with pytest.raises(SpawnRefused, match="session s has not enough spawns"):
        bench.spawn(parent=next_of(parent, 5))
    exhaust.run_once(bench.deps)
    told = [("spawns", 50), ("spawns", 80), ("spawns", 100)]
    assert alerts(bench.deps, parent.id, f"instance {parent.id}") == told
    assert alerts(bench.deps, parent.id) == told
