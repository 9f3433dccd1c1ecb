"""R8: one event for each change, in its transaction; the trail is append-only."""

from __future__ import annotations

import psycopg
import pytest
import sqlalchemy as sa
from psycopg import errors

from orchestrator.domain.lifecycle import State
from orchestrator.store.database import to_sqlalchemy
from orchestrator.store.store import Ending, Store
from tests.store.life import begun, check_trail, child, found, policy, record_many, root, trail
from tests.support.make import spawn_of


def count(sql: psycopg.Connection, table: str) -> int:
    row = sql.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()
    assert row is not None
    return int(row[0])


def test_a_spawn_is_one_event(store: Store, sql: psycopg.Connection) -> None:
    instance = root(store)
    [event] = store.events(instance.id)
    assert (event.from_state, event.to_state, event.attempt) == (None, State.QUEUED, 0)
    check_trail(instance, [event])
    assert count(sql, "events") == 1


def test_a_batch_of_spawns_is_one_event_each(store: Store, sql: psycopg.Connection) -> None:
    news = [spawn_of() for _ in range(20)]
    assert record_many(store, news) == [True] * 20
    assert count(sql, "events") == 20
    for new in news:
        check_trail(found(store, new.id), list(store.events(new.id)))


def test_a_refused_record_is_no_event(store: Store, sql: psycopg.Connection) -> None:
    store.record(spawn_of(idempotency_key="once"))
    assert store.record(spawn_of(idempotency_key="once")) is False
    assert (count(sql, "instances"), count(sql, "events")) == (1, 1)


def test_a_whole_life_is_in_the_trail(store: Store) -> None:
    one = begun(store, root(store, retry=policy(5)), 1)
    store.park(one.id, 1)
    store.resume(one.id, 1)
    begun(store, one, 2)
    store.hand_back(one.id, 2, "RETRY", failed=True, error={"type": "E", "message": "m"})
    begun(store, one, 3)
    store.expire(one.id, 3)
    begun(store, one, 4)
    store.settle(one.id, 4, Ending(State.COMPLETED, result="1"))
    events = list(store.events(one.id))
    check_trail(found(store, one.id), events)
    assert [(event.to_state, event.reason, event.attempt) for event in events] == [
        ("queued", None, 0),
        ("running", None, 1),
        ("waiting", "WAITING_FOR_CHILDREN", 1),
        ("queued", "RESUMED", 1),
        ("running", None, 2),
        ("queued", "RETRY", 2),
        ("running", None, 3),
        ("queued", "LEASE_EXPIRED", 3),
        ("running", None, 4),
        ("completed", None, 4),
    ]
    assert [event.worker for event in events][:2] == [None, "worker"]
    assert events == sorted(events, key=lambda event: event.sequence)


def test_a_lost_message_is_an_event_although_the_state_stays(store: Store) -> None:
    one = root(store)
    store.expire(one.id, 1)
    events = list(store.events(one.id))
    check_trail(found(store, one.id), events)
    assert [(event.to_state, event.reason, event.attempt) for event in events] == [
        ("queued", None, 0),
        ("queued", "MESSAGE_LOST", 1),
    ]


def test_a_place_in_line_that_ran_out_changes_nothing(store: Store) -> None:
    """A spawn that was recorded and not followed, and one that was handed back and not requeued."""
    one = root(store)
    assert store.expire(one.id, 0) is not None
    begun(store, one, 1)
    store.hand_back(one.id, 1, "RETRY", failed=True)
    assert store.expire(one.id, 1) is not None
    events = list(store.events(one.id))
    check_trail(found(store, one.id), events)
    assert [(event.to_state, event.reason, event.attempt) for event in events] == [
        ("queued", None, 0),
        ("running", None, 1),
        ("queued", "RETRY", 1),
    ]


def test_a_cascade_is_one_event_for_each_that_ended(store: Store) -> None:
    top = begun(store, root(store))
    middle = begun(store, child(store, top))
    leaf = child(store, middle)
    store.settle(top.id, 1, Ending(State.COMPLETED, result="1"))
    for one in (top, middle, leaf):
        check_trail(found(store, one.id), list(store.events(one.id)))
        assert trail(store, one.id)[-1][1].is_terminal
    assert store.events(leaf.id)[-1].reason == "PARENT_ENDED"


def test_what_changes_no_state_is_no_event(store: Store, sql: psycopg.Connection) -> None:
    root(store)
    sql.execute("UPDATE instances SET reason = 'note', worker = 'w'")
    assert count(sql, "events") == 1


def test_the_event_is_of_the_same_transaction(store: Store, sql: psycopg.Connection) -> None:
    same = """SELECT bool_and(events.xmin = instances.xmin)
              FROM events JOIN instances ON instances.id = instance_id AND to_state = state"""
    one = root(store)
    assert sql.execute(same.encode()).fetchone() == (True,)
    begun(store, one)
    assert sql.execute(same.encode()).fetchone() == (True,)
    store.cancel([one.id], "CANCELLED", "PARENT_ENDED")
    assert sql.execute(same.encode()).fetchone() == (True,)


def test_a_change_that_is_rolled_back_leaves_no_event(
    store: Store, sql: psycopg.Connection
) -> None:
    one = root(store)
    with sql.transaction(force_rollback=True):
        sql.execute("UPDATE instances SET state = 'running', attempt = 1")
        assert count(sql, "events") == 2
    assert trail(store, one.id) == [(None, State.QUEUED)]


def test_a_spawn_that_is_rolled_back_leaves_nothing(
    store: Store, sql: psycopg.Connection, database_url: str
) -> None:
    engine = sa.create_engine(to_sqlalchemy(database_url), poolclass=sa.NullPool)
    with engine.connect() as connection:
        assert store.record_within(connection, spawn_of(idempotency_key="k"))
        connection.rollback()
    assert [count(sql, table) for table in ("sessions", "instances", "events")] == [0, 0, 0]


def test_a_batch_that_fails_in_the_middle_leaves_nothing(
    store: Store, sql: psycopg.Connection
) -> None:
    broken = spawn_of(args="not json")
    with pytest.raises(psycopg.Error):
        record_many(store, [spawn_of(), broken, spawn_of()])
    assert [count(sql, table) for table in ("sessions", "instances", "events")] == [0, 0, 0]


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE events SET reason = 'never'",
        "UPDATE events SET at = now() WHERE false",
        "DELETE FROM events",
        "TRUNCATE events",
        "TRUNCATE events, instances, sessions CASCADE",
        "INSERT INTO events SELECT * FROM events "
        "ON CONFLICT (sequence) DO UPDATE SET reason = 'never'",
        "MERGE INTO events USING (VALUES (1)) AS one (n) ON true WHEN MATCHED THEN DELETE",
    ],
)
def test_the_trail_cannot_be_changed(store: Store, sql: psycopg.Connection, tampering: str) -> None:
    one = root(store)
    before = list(store.events(one.id))
    with pytest.raises((errors.InsufficientPrivilege, errors.GeneratedAlways)):
        sql.execute(tampering.encode())
    assert list(store.events(one.id)) == before


def test_the_order_of_the_trail_cannot_be_forged(store: Store, sql: psycopg.Connection) -> None:
    root(store)
    with pytest.raises(errors.GeneratedAlways):
        sql.execute("INSERT INTO events SELECT * FROM events")
