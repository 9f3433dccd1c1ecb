"""Rows in any state of their life, and what the audit trail says of them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import psycopg

from orchestrator.domain.instance import Event, Instance, NewInstance
from orchestrator.domain.lifecycle import TERMINAL, State
from orchestrator.domain.retry import RetryPolicy
from orchestrator.store.store import Store
from tests.support.make import parent_of, spawn_of

#: The attempt that rows made by `row_in` are at.
ATTEMPT = 2


def row_in(
    store: Store,
    sql: psycopg.Connection,
    state: State,
    *,
    parent: str | None = None,
    attempt: int = ATTEMPT,
    failures: int = 0,
    detached: bool = False,
    on_parent_end: str = "terminate",
    **fields: Any,
) -> str:
    """A row in this state, put there by force. A child is the first free position's."""
    new = spawn_of(session=f"session of {parent}", **fields)
    store.record(new)
    above = None if parent is None else store.get(parent)
    # The guard of transitions would not let a row begin its life anywhere but queued.
    with sql.transaction():
        sql.execute("SET LOCAL session_replication_role = replica")
        sql.execute(
            "UPDATE instances SET state = %s, attempt = %s, failures = %s, worker = 'before', "
            "ended_at = CASE WHEN %s THEN now() END WHERE id = %s",
            (state, attempt, failures, state in TERMINAL, new.id),
        )
        if above is not None:
            sql.execute(
                "UPDATE instances SET parent_id = %s, root_id = %s, depth = %s, position = "
                "(SELECT count(*) FROM instances WHERE parent_id = %s), detached = %s, "
                "on_parent_end = %s WHERE id = %s",
                (
                    *(above.id, above.root_id, above.depth + 1, above.id),
                    *(detached, on_parent_end, new.id),
                ),
            )
    return new.id


def root(store: Store, **fields: Any) -> Instance:
    """A queued root."""
    new = spawn_of(**fields)
    assert store.record(new)
    return found(store, new.id)


def begun(store: Store, instance: Instance, attempt: int = 1) -> Instance:
    """The same, running as this attempt."""
    running = store.begin(instance.id, attempt, "worker")
    assert running is not None
    return running


def child(store: Store, parent: Instance, position: int = 0, **fields: Any) -> Instance:
    """A queued child of a running parent."""
    new = spawn_of(parent_of(parent, position), **fields)
    assert store.record(new)
    return found(store, new.id)


def found(store: Store, instance_id: str) -> Instance:
    """The row, which must exist."""
    instance = store.get(instance_id)
    assert instance is not None
    return instance


def policy(attempts: int) -> RetryPolicy:
    """So many attempts, without delay."""
    return RetryPolicy(max_attempts=attempts, first_delay=0.0, max_delay=0.0)


def record_many(store: Store, news: Sequence[NewInstance]) -> list[bool]:
    """Which of a batch were written; those that were not stand for nothing."""
    ids = store.record_many(news, lambda _new, _earlier: "")
    return [ids[new.id] == new.id for new in news]


def trail(store: Store, instance_id: str) -> list[tuple[State | None, State]]:
    """The transitions in the audit trail."""
    return [(event.from_state, event.to_state) for event in store.events(instance_id)]


def check_trail(instance: Instance, events: list[Event]) -> None:
    """R8: the trail begins with the spawn, has no gap, and ends where the row is."""
    assert (events[0].from_state, events[0].to_state) == (None, State.QUEUED)
    for before, after in itertools.pairwise(events):
        assert after.from_state == before.to_state
        assert after.attempt >= before.attempt
        assert (after.from_state, after.attempt) != (after.to_state, before.attempt)
    last = events[-1]
    assert (last.to_state, last.attempt, last.reason) == (
        instance.state,
        instance.attempt,
        instance.reason,
    )
    for event in events:
        assert (event.session, event.tenant, event.agent) == (
            instance.session,
            instance.tenant,
            instance.agent,
        )
