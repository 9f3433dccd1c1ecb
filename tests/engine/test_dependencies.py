"""Danger: something starts before what it needs is there, or never."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.agents.context import Context
from orchestrator.domain.errors import InvalidSpawn
from orchestrator.domain.ids import new_id
from orchestrator.domain.instance import SpawnRequest
from orchestrator.domain.lifecycle import State
from orchestrator.domain.retry import RetryPolicy
from orchestrator.engine import reconcile, spawn, sweep
from orchestrator.engine.cancel import cancel
from tests.engine.bench import DISPATCH, Bench


def ended(bench: Bench, *ids: str) -> None:
    bench.work_until(lambda: all(bench.row(one).state.is_terminal for one in ids), "all ended")


def failing(bench: Bench) -> str:
    def fails(ctx: Context) -> None:
        raise ValueError("no luck")

    bench.agent("fails", fails, retry=RetryPolicy.never())
    return "fails"


def test_it_starts_once_all_have_ended(bench: Bench) -> None:
    first, second = bench.spawn(), bench.spawn()
    one = bench.spawn(after=[first, second])
    assert bench.places(one) == ["held"]
    bench.execute(first)
    assert bench.places(one) == ["held"]
    assert bench.deps.gate.held() == 1
    bench.execute(second)
    assert bench.places(one) == ["dispatched"]
    assert bench.execute(one).state is State.COMPLETED


def test_what_has_ended_before_holds_nobody(bench: Bench) -> None:
    first = bench.spawn()
    bench.execute(first)
    one = bench.spawn(after=[first])
    assert bench.execute(one).state is State.COMPLETED


@pytest.mark.parametrize(
    ("on_failure", "state"), [("fail", State.FAILED), ("run", State.COMPLETED)]
)
def test_one_that_failed(bench: Bench, on_failure: str, state: State) -> None:
    good, bad = bench.spawn(), bench.spawn(failing(bench))
    one = bench.spawn(after=[good, bad], on_failure=on_failure)
    then = bench.spawn(after=[one])
    ended(bench, one, then)
    row = bench.row(one)
    assert row.state is state
    if state is State.FAILED:
        assert row.reason == "DEPENDENCY_FAILED"
        assert row.error is not None
        assert bad in row.error["message"]
        assert good not in row.error["message"]
        assert bench.row(then).reason == "DEPENDENCY_FAILED"


def test_one_that_is_cancelled_counts_as_failed(bench: Bench) -> None:
    bench.offer(1, pool="gpu", worker="gpu")
    first = bench.spawn(pool="nowhere")
    one = bench.spawn(after=[first])
    cancel(bench.deps, first)
    ended(bench, one)
    assert bench.row(one).reason == "DEPENDENCY_FAILED"


def test_a_graph_is_one_call(bench: Bench) -> None:
    """A diamond, of which each runs after those before it."""
    order: list[str] = []

    def note(ctx: Context, name: str) -> None:
        order.append(name)

    bench.agent("note", note)
    top = SpawnRequest("note", {"name": "top"})
    sides = [SpawnRequest("note", {"name": f"side {n}"}, after=[top]) for n in range(3)]
    bottom = SpawnRequest("note", {"name": "bottom"}, after=sides)
    ids = spawn.spawn_many(bench.deps, [top, *sides, bottom])
    assert bench.places(*ids) == ["dispatched", "held", "held", "held", "held"]
    ended(bench, *ids)
    assert (order[0], order[-1], len(order)) == ("top", "bottom", 5)


def test_a_repeated_graph_is_the_first_one(bench: Bench) -> None:
    def graph() -> list[str]:
        top = SpawnRequest("add", {"a": 1}, idempotency_key="top")
        bottom = SpawnRequest("add", {"a": 2}, idempotency_key="bottom", after=[top])
        return spawn.spawn_many(bench.deps, [top, bottom])

    first = graph()
    before = bench.state()
    assert graph() == first
    assert bench.state() == before


def test_a_key_in_a_graph_may_stand_for_an_earlier_one(bench: Bench) -> None:
    first = bench.spawn("add", {"a": 1}, idempotency_key="top")
    top = SpawnRequest("add", {"a": 1}, idempotency_key="top")
    [same, bottom] = spawn.spawn_many(bench.deps, [top, SpawnRequest("echo", after=[top])])
    assert same == first
    depends = bench.row(bottom).depends_on
    assert depends is not None
    assert depends.ids == (first,)


@pytest.mark.parametrize("lost", ["hold", "tell_ended"])
def test_a_crash_while_it_is_put_on_hold_is_mended(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    first = bench.spawn()
    bench.execute(first)

    def crash(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(bench.deps.gate, {"hold": "hold_many"}.get(lost, lost), crash)
    with pytest.raises(KeyboardInterrupt):
        bench.spawn(after=[first])
    monkeypatch.undo()
    [one] = [row.id for row in bench.deps.store.list(state="queued")]
    bench.advance(DISPATCH + 1)
    bench.beat()
    sweep.run_once(bench.deps)
    reconcile.run_once(bench.deps)
    ended(bench, one)
    assert bench.row(one).state is State.COMPLETED


def test_a_lost_hold_does_not_start_it_too_early(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: Any) -> None:
        raise KeyboardInterrupt

    first = bench.spawn(pool="nowhere")
    monkeypatch.setattr(bench.deps.gate, "hold_many", crash)
    with pytest.raises(KeyboardInterrupt):
        bench.spawn(after=[first])
    monkeypatch.undo()
    one = next(row.id for row in bench.deps.store.list(state="queued") if row.depends_on)
    bench.advance(DISPATCH + 1)
    bench.beat()
    sweep.run_once(bench.deps)
    assert bench.places(one) == ["held"]


def test_one_that_was_begun_too_early_waits_on(bench: Bench) -> None:
    first = bench.spawn(pool="nowhere")
    one = bench.spawn(after=[first])
    bench.deps.gate.wake([one])
    row = bench.execute(one)
    assert (row.state, row.failures) == (State.QUEUED, 0)


def test_a_child_after_its_siblings(bench: Bench) -> None:
    def parent(ctx: Context) -> Any:
        first = [ctx.spawn("add", {"a": n}) for n in range(2)]
        last = ctx.spawn("add", {"a": 10}, after=first)
        return ctx.wait([*first, last])

    bench.agent("parent", parent)
    one = bench.spawn("parent")
    ended(bench, one)
    assert bench.row(one).result == [1, 2, 11]


def test_after_takes_what_exists_and_nothing_else(bench: Bench) -> None:
    other = bench.spawn(tenant="other")
    before = bench.state()
    later = SpawnRequest("add", {"a": 1})
    for wrong in (new_id(), other, "no id", 7, later):
        with pytest.raises(InvalidSpawn) as caught:
            bench.spawn(after=[wrong])
        assert caught.value.code == "INVALID_AFTER"
    with pytest.raises(InvalidSpawn, match="earlier in the same list"):
        spawn.spawn_many(bench.deps, [SpawnRequest("add", {"a": 1}, after=[later]), later])
    with pytest.raises(InvalidSpawn, match="must be"):
        bench.spawn(after=[], on_failure="maybe")
    assert bench.state() == before
