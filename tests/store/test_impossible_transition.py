"""PostgreSQL lets through exactly the transitions of the lifecycle, whoever asks."""

from __future__ import annotations

import itertools

import psycopg
import pytest
from psycopg import errors

from orchestrator.domain.lifecycle import STORED, TERMINAL, State, stored_transitions
from orchestrator.store.store import Store
from tests.store.life import row_in, trail
from tests.support.make import spawn_of

PAIRS = [(a, b) for a, b in itertools.product(STORED, STORED) if a is not b]


def move(sql: psycopg.Connection, instance_id: str, state: str) -> None:
    """As a careless person at a prompt would do it."""
    sql.execute(
        "UPDATE instances SET state = %s, ended_at = CASE WHEN %s THEN now() END WHERE id = %s",
        (state, state in TERMINAL, instance_id),
    )


@pytest.mark.parametrize(("before", "after"), PAIRS)
def test_only_the_table_passes(
    store: Store, sql: psycopg.Connection, before: State, after: State
) -> None:
    # Given a row in one state
    instance_id = row_in(store, sql, before)
    events = trail(store, instance_id)
    # When it is set to another
    if (before, after) in set(stored_transitions()):
        move(sql, instance_id, after)
        # Then that is one event,
        assert trail(store, instance_id) == [*events, (before, after)]
    else:
        # or refused without a trace
        with pytest.raises(errors.CheckViolation) as caught:
            move(sql, instance_id, after)
        assert caught.value.diag.constraint_name == "instances_transition_check"
        assert trail(store, instance_id) == events


@pytest.mark.parametrize("state", [state for state in STORED if state in TERMINAL])
def test_an_end_is_kept_also_against_a_bulk_update(
    store: Store, sql: psycopg.Connection, state: State
) -> None:
    ended = row_in(store, sql, state)
    live = row_in(store, sql, State.RUNNING)
    with pytest.raises(errors.CheckViolation):
        sql.execute("UPDATE instances SET state = 'queued', ended_at = NULL")
    assert trail(store, ended)[1:] == trail(store, live)[1:] == []


NONSENSE = [
    ("state = 'dispatched'", "instances_state_check"),
    ("state = 'lost'", "instances_state_check"),
    ("ended_at = now()", "instances_ended_check"),
    ("state = 'failed'", "instances_ended_check"),
    ("state = 'running'", "instances_begun_check"),
    ("priority = 5", "instances_priority_check"),
    ("priority = -1", "instances_priority_check"),
    ("depth = 1", "instances_depth_check"),
    ("position = 0", "instances_position_check"),
    ("failures = 1", "instances_failures_check"),
    ("failures = -1", "instances_failures_check"),
]


@pytest.mark.parametrize(("change", "constraint"), NONSENSE)
def test_a_row_that_makes_no_sense_is_refused(
    store: Store, sql: psycopg.Connection, change: str, constraint: str
) -> None:
    """In plain SQL, without the trigger, so that the constraint itself is what holds."""
    store.record(spawn_of())
    statement = f"SET LOCAL session_replication_role = replica; UPDATE instances SET {change}"
    with pytest.raises(errors.CheckViolation) as caught, sql.transaction():
        sql.execute(statement.encode())
    assert caught.value.diag.constraint_name == constraint


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ("tenant = 'other'", errors.ForeignKeyViolation),
        ("session = 'other'", errors.ForeignKeyViolation),
        ("parent_id = uuidv7(), depth = 1, position = 0", errors.ForeignKeyViolation),
        ("args = NULL", errors.NotNullViolation),
    ],
)
def test_a_row_belongs_to_its_session_and_parent(
    store: Store, sql: psycopg.Connection, change: str, error: type[Exception]
) -> None:
    store.record(spawn_of())
    with pytest.raises(error):
        sql.execute(f"UPDATE instances SET {change}".encode())
