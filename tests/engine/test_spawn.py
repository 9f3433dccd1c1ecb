"""An accepted spawn is a row, a place in the gate and, when there is room, one message."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from orchestrator.domain.errors import NonDeterministicAgent
from orchestrator.domain.instance import SpawnRequest
from orchestrator.domain.lifecycle import State
from orchestrator.engine.spawn import spawn_many
from orchestrator.store.store import Ending
from tests.engine.bench import Bench


def test_with_room_it_is_handed_out_at_once(bench: Bench) -> None:
    one = bench.spawn(priority="high", session="s", tenant="t")
    row = bench.row(one)
    assert (row.args, row.state, row.session, row.tenant) == ({"a": 1}, State.QUEUED, "s", "t")
    assert bench.places(one) == ["dispatched"]
    assert bench.take_messages() == [(one, 1)]


def test_without_room_it_waits_in_line(bench: Bench) -> None:
    bench.offer(1)
    first, second = bench.spawn(), bench.spawn()
    assert bench.places(first, second) == ["dispatched", "queued"]
    assert bench.take_messages() == [(first, 1)]
    bench.execute(first)
    assert bench.take_messages() == [(second, 1)]


def test_without_a_worker_it_waits_for_one(bench: Bench) -> None:
    one = bench.spawn(pool="gpu")
    assert bench.places(one) == ["queued"]
    bench.offer(1, pool="gpu", worker="late")
    assert bench.take_messages("gpu") == [(one, 1)]


def test_a_batch_is_accepted_as_a_whole_and_in_order(bench: Bench) -> None:
    bench.offer(2)
    ids = spawn_many(bench.deps, [SpawnRequest("add", {"a": n}) for n in range(5)])
    assert [bench.row(one).args for one in ids] == [{"a": n} for n in range(5)]
    assert bench.places(*ids) == ["dispatched"] * 2 + ["queued"] * 3
    assert [one for one, _ in bench.take_messages()] == ids[:2]


class TestRepeated:
    """A repeated spawn is answered with the first one and starts nothing."""

    def test_by_its_key(self, bench: Bench) -> None:
        first = bench.spawn(idempotency_key="k")
        before = bench.state()
        assert bench.spawn(idempotency_key="k") == first
        assert bench.state() == before

    def test_by_its_key_where_a_limit_is_met_by_now(self, bench: Bench) -> None:
        bench.limit(tenant_concurrency=1)
        first = bench.spawn(idempotency_key="k")
        assert bench.spawn(idempotency_key="k", on_limit="refuse") == first

    def test_by_its_key_after_it_has_ended(self, bench: Bench) -> None:
        first = bench.spawn(idempotency_key="k")
        assert bench.execute(first).state is State.COMPLETED
        assert bench.spawn(idempotency_key="k") == first
        assert bench.take_messages() == [(first, 1)]

    @pytest.mark.parametrize("number", [1e16, 1e23, 1.7976931348623157e308, 5e-324, -0.0])
    def test_with_a_number_far_from_one(self, bench: Bench, number: float) -> None:
        """What PostgreSQL gives back must still be known as the same."""
        first = bench.spawn(args={"a": number}, idempotency_key="k")
        assert bench.spawn(args={"a": number}, idempotency_key="k") == first

    def test_in_a_batch(self, bench: Bench) -> None:
        first = bench.spawn(args={"a": 0}, idempotency_key="0")
        batch = [SpawnRequest("add", {"a": n % 2}, idempotency_key=str(n % 2)) for n in range(4)]
        ids = spawn_many(bench.deps, batch)
        assert ids == [first, ids[1]] * 2
        assert len(bench.deps.store.list()) == 2
        assert bench.deps.gate.held() == 2

    def test_in_a_batch_where_a_limit_is_met_by_now(self, bench: Bench) -> None:
        bench.limit(tenant_concurrency=1)
        first = bench.spawn(idempotency_key="k")
        request = SpawnRequest("add", {"a": 1}, idempotency_key="k", on_limit="refuse")
        assert spawn_many(bench.deps, [request]) == [first]

    def test_by_many_at_once(self, bench: Bench) -> None:
        with ThreadPoolExecutor(8) as threads:
            futures = [threads.submit(bench.spawn, idempotency_key="k") for _ in range(24)]
            ids = {future.result() for future in futures}
        assert len(ids) == 1
        assert bench.deps.gate.held() == 1
        assert len(bench.take_messages()) == 1
        assert len(bench.deps.store.list()) == 1


class TestChildren:
    """A parent's spawns are known by their order."""

    def test_a_child_stands_below_its_parent(self, bench: Bench) -> None:
        parent = bench.begun_parent(session="s", tenant="t")
        child = bench.row(bench.spawn(parent=parent))
        assert (child.parent_id, child.root_id, child.depth) == (parent.id, parent.id, 1)
        assert (child.session, child.tenant) == ("s", "t")

    def test_a_repeated_position_is_the_same_child(self, bench: Bench) -> None:
        parent = bench.begun_parent()
        child = bench.spawn(parent=parent)
        before = bench.state()
        assert bench.spawn(parent=parent) == child
        assert bench.state() == before

    @pytest.mark.parametrize(
        ("fields", "found"),
        [({"args": {"a": 2}}, r'add\(\{"a": 2\}\)'), ({"agent": "echo"}, r"echo\(\{\}\)")],
    )
    def test_another_spawn_at_a_position_is_named(
        self, bench: Bench, fields: dict[str, Any], found: str
    ) -> None:
        parent = bench.begun_parent()
        bench.spawn(parent=parent)
        before = bench.state()
        with pytest.raises(NonDeterministicAgent, match=rf'number 0 is {found}.*add\(\{{"a": 1'):
            bench.spawn(parent=parent, **fields)
        assert bench.state() == before

    def test_a_failed_child_stands_for_its_spawn(self, bench: Bench) -> None:
        parent = bench.begun_parent()
        child = bench.begin(bench.spawn(parent=parent))
        bench.deps.store.settle(child.id, 1, Ending(State.FAILED, "AGENT_ERROR", failed=True))
        bench.deps.gate.release(child.id, 1)
        assert bench.spawn(parent=parent) == child.id

    def test_children_count_against_the_limit_of_the_session(self, bench: Bench) -> None:
        bench.limit(session_concurrency=3)
        parent = bench.begun_parent()
        other = bench.spawn()
        places = []
        for position in range(4):
            at = type(parent)(**{**vars(parent), "position": position})
            places += bench.places(bench.spawn(parent=at))
        assert places == ["dispatched"] * 2 + ["queued"] * 2
        assert bench.places(other) == ["dispatched"]
