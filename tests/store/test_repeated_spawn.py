"""A spawn that is repeated is the first one; a session stays with its tenant."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from orchestrator.domain.errors import InvalidSpawn
from orchestrator.domain.instance import Instance, NewInstance
from orchestrator.domain.lifecycle import State
from orchestrator.store.database import to_sqlalchemy
from orchestrator.store.store import Ending, Store
from tests.store.life import begun, child, found, record_many, root
from tests.support.make import parent_of, spawn_of


def test_a_key_is_taken_once(store: Store) -> None:
    first, second = spawn_of(idempotency_key="k"), spawn_of(idempotency_key="k")
    assert [store.record(first), store.record(second)] == [True, False]
    earlier = store.find_earlier(second)
    assert earlier is not None
    assert earlier.id == first.id
    assert store.get(second.id) is None


def test_a_key_is_the_tenants_own(store: Store) -> None:
    mine = spawn_of(idempotency_key="k", tenant="mine", session="a")
    other = spawn_of(idempotency_key="k", tenant="other", session="b")
    assert [store.record(mine), store.record(other)] == [True, True]
    assert store.find_earlier(other) == found(store, other.id)


def test_a_key_stays_taken_after_the_end(store: Store) -> None:
    first = root(store, idempotency_key="k")
    store.cancel([first.id], "CANCELLED", "PARENT_ENDED")
    assert store.record(spawn_of(idempotency_key="k")) is False


def test_one_key_within_a_batch_is_taken_once(store: Store) -> None:
    news = [spawn_of(idempotency_key="k"), spawn_of(), spawn_of(idempotency_key="k")]
    assert record_many(store, news) == [True, True, False]


def test_a_batch_is_told_what_is_in_the_way(store: Store) -> None:
    first = root(store, idempotency_key="k")
    news = [spawn_of(), spawn_of(idempotency_key="k")]
    asked: list[tuple[str, str]] = []

    def earlier(new: NewInstance, instance: Instance | None) -> str:
        assert instance is not None
        asked.append((new.id, instance.id))
        return instance.id

    assert store.record_many(news, earlier) == {news[0].id: news[0].id, news[1].id: first.id}
    assert asked == [(news[1].id, first.id)]


def test_a_batch_whose_repetition_is_refused_is_not_recorded(store: Store) -> None:
    root(store, idempotency_key="k")
    fine = spawn_of(session="fine")

    def refuse(_new: NewInstance, _earlier: Instance | None) -> str:
        raise InvalidSpawn("IDEMPOTENCY_CONFLICT", "no")

    with pytest.raises(InvalidSpawn):
        store.record_many([fine, spawn_of(idempotency_key="k")], refuse)
    assert store.get(fine.id) is None


def test_of_many_at_once_one_is_first(store: Store) -> None:
    news = [spawn_of(idempotency_key="k") for _ in range(16)]
    with ThreadPoolExecutor(8) as threads:
        recorded = list(threads.map(store.record, news))
    assert sum(recorded) == 1
    [first] = [new.id for new, made in zip(news, recorded, strict=True) if made]
    for new in news:
        earlier = store.find_earlier(new)
        assert earlier is not None
        assert earlier.id == first


def test_a_position_is_taken_once(store: Store) -> None:
    parent = begun(store, root(store))
    first = child(store, parent, 0)
    again = spawn_of(parent_of(parent, 0))
    assert store.record(again) is False
    assert store.find_earlier(again) == first
    assert store.find_earlier(spawn_of(parent_of(parent, 1))) is None


@pytest.mark.parametrize("state", [State.COMPLETED, State.FAILED, State.CANCELLED])
def test_a_parent_that_runs_again_finds_its_child_however_it_ended(
    store: Store, state: State
) -> None:
    parent = begun(store, root(store))
    first = begun(store, child(store, parent, 0))
    store.settle(first.id, 1, Ending(state, result="1" if state is State.COMPLETED else None))
    again = spawn_of(parent_of(parent, 0))
    assert store.record(again) is False
    earlier = store.find_earlier(again)
    assert earlier is not None
    assert earlier.id == first.id


def test_an_older_attempt_of_the_parent_spawns_nothing(store: Store) -> None:
    old = begun(store, root(store), 1)
    store.hand_back(old.id, 1, "WORKER_STOPPED")
    new = begun(store, old, 2)
    assert store.record(spawn_of(parent_of(old, 0))) is False
    assert store.record(spawn_of(parent_of(new, 0))) is True


@pytest.mark.parametrize("state", ["queued", "waiting"])
def test_a_parent_that_does_not_run_spawns_nothing(store: Store, state: str) -> None:
    parent = begun(store, root(store))
    store.park(parent.id, 1) if state == "waiting" else store.hand_back(parent.id, 1, "RETRY")
    assert store.record(spawn_of(parent_of(parent))) is False


@pytest.fixture
def engine(database_url: str) -> Iterator[sa.Engine]:
    engine = sa.create_engine(to_sqlalchemy(database_url), poolclass=sa.NullPool)
    yield engine
    engine.dispose()


class TestSessionOfAnotherTenant:
    """Whichever way a spawn is recorded, a session cannot change hands."""

    @pytest.fixture(autouse=True)
    def theirs(self, store: Store) -> None:
        root(store, session="theirs", tenant="them")

    def test_one(self, store: Store) -> None:
        intruder = spawn_of(session="theirs", tenant="us")
        with pytest.raises(InvalidSpawn, match="'theirs' belongs to another tenant than 'us'") as c:
            store.record(intruder)
        assert c.value.code == "SESSION_OF_ANOTHER_TENANT"
        assert store.get(intruder.id) is None

    def test_in_a_batch_the_one_at_fault_is_named(self, store: Store) -> None:
        fine = spawn_of(session="ours", tenant="us")
        with pytest.raises(InvalidSpawn, match="'theirs'"):
            record_many(store, [fine, spawn_of(session="theirs", tenant="us")])
        assert store.get(fine.id) is None

    def test_in_a_callers_transaction(self, store: Store, engine: sa.Engine) -> None:
        with engine.connect() as connection, pytest.raises(InvalidSpawn, match="'theirs'"):
            store.record_within(connection, spawn_of(session="theirs", tenant="us"))

    def test_their_own_spawns_pass(self, store: Store) -> None:
        assert store.record(spawn_of(session="theirs", tenant="them"))


def test_a_callers_transaction_may_go_on_after_a_taken_key(store: Store, engine: sa.Engine) -> None:
    root(store, idempotency_key="k")
    other = spawn_of()
    with engine.begin() as connection:
        assert store.record_within(connection, spawn_of(idempotency_key="k")) is False
        assert store.record_within(connection, other) is True
    assert store.get(other.id) is not None
