"""Danger: two overwrite each other's value, history is changed, or a stranger reads along."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg import errors as pg_errors

from orchestrator.domain.ids import new_id
from orchestrator.domain.journal import Entry
from orchestrator.store.journal import Recording
from orchestrator.store.sessions import ShareReply
from orchestrator.store.store import Store
from tests.store.life import begun, root


def put(
    store: Store, key: str, value: object, expected: int | None = None, session: str = "s"
) -> ShareReply:
    return store.shared.set(session, "tenant", key, json.dumps(value), expected)


def everything(store: Store, version: int | None = None, session: str = "s") -> dict[str, Any]:
    return {one.key: one.value for one in store.shared.at(session, version)}


def test_each_change_is_the_next_version(store: Store) -> None:
    assert store.shared.version("s") == 0
    assert [put(store, key, 1).version for key in "aba"] == [1, 2, 3]
    assert put(store, "a", 1, session="other").version == 1
    assert [one.version for one in store.shared.history("s", "a")] == [1, 3]


def test_null_is_a_value_and_taking_away_is_none(store: Store) -> None:
    put(store, "a", None)
    newest = store.shared.newest("s", "a")
    assert newest is not None
    assert (newest.value, newest.is_deleted) == (None, False)
    assert everything(store) == {"a": None}
    assert store.shared.set("s", "tenant", "a", None, None) == ShareReply("set", 2)
    newest = store.shared.newest("s", "a")
    assert newest is not None
    assert newest.is_deleted
    assert everything(store) == {}
    assert store.shared.set("s", "tenant", "a", None, None) == ShareReply("set", 2)


def test_only_the_expected_version_is_replaced(store: Store) -> None:
    assert put(store, "a", 1, expected=1) == ShareReply("conflict", 0)
    assert put(store, "a", 1, expected=0) == ShareReply("set", 1)
    put(store, "b", 1)
    assert put(store, "a", 2, expected=0) == ShareReply("conflict", 1)
    assert put(store, "a", 2, expected=1) == ShareReply("set", 3)
    assert put(store, "a", 3, expected=1) == ShareReply("conflict", 3)
    store.shared.set("s", "tenant", "a", None, 3)
    assert put(store, "a", 4, expected=3) == ShareReply("conflict", 0)
    assert everything(store) == {"b": 1}


def test_many_count_at_once_and_none_is_lost(store: Store) -> None:
    def count(_: int) -> None:
        while True:
            now = store.shared.newest("s", "n")
            value, version = (now.value, now.version) if now else (0, 0)
            if put(store, "n", value + 1, expected=version).outcome == "set":
                return

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(count, range(40)))
    history = store.shared.history("s", "n")
    assert [(one.version, one.value) for one in history] == [(n, n) for n in range(1, 41)]


def test_another_tenant_changes_nothing(store: Store) -> None:
    put(store, "a", 1)
    assert store.shared.tenant("s") == "tenant"
    assert store.shared.set("s", "other", "a", "2", None).outcome == "other_tenant"
    assert store.shared.roll_back("s", "other", 0).outcome == "other_tenant"
    assert everything(store) == {"a": 1}


def test_a_fenced_attempt_changes_nothing(store: Store) -> None:
    one = begun(store, root(store, session="s"))
    late = Recording(one.id, one.attempt + 1, Entry(0, "shared.set", "a"))
    assert store.shared.set("s", "tenant", "a", "2", None, late).outcome == "fenced"
    assert store.shared.roll_back("s", "tenant", 0, late).outcome == "fenced"
    own = Recording(one.id, one.attempt, Entry(0, "shared.set", "a"))
    assert store.shared.set("s", "tenant", "a", "2", None, own).outcome == "set"
    [entry, *_] = store.journal.load(one.id)
    assert entry.value == {"outcome": "set", "version": 1}
    # Its answer was lost, and it is done again.
    assert store.shared.set("s", "tenant", "a", "2", None, own) == ShareReply("set", 1)
    back = Recording(one.id, one.attempt, Entry(1, "shared.rollback", ""))
    assert store.shared.roll_back("s", "tenant", 0, back) == ShareReply("set", 2)
    assert store.shared.roll_back("s", "tenant", 0, back) == ShareReply("set", 2)
    assert [value.set_by for value in store.shared.history("s", "a")] == [one.id, one.id]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE shared_values SET key = 'b'",
        "DELETE FROM shared_values",
        "TRUNCATE shared_values",
    ],
)
def test_history_is_not_changed(store: Store, sql: psycopg.Connection, statement: str) -> None:
    put(store, "a", 1)
    with pytest.raises(pg_errors.InsufficientPrivilege, match="append-only"):
        sql.execute(statement.encode())


def test_a_version_that_never_was_cannot_be_gone_back_to(store: Store) -> None:
    put(store, "a", 1)
    assert store.shared.roll_back("s", "tenant", 2).outcome == "unknown"
    assert store.shared.roll_back("s", "tenant", -1).outcome == "unknown"


CHANGES = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["1", "null", "[2]", None])))


@settings(max_examples=40)
@given(changes=CHANGES, target=st.integers(0, 12))
def _goes_back(store: Store, changes: list[tuple[str, str | None]], target: int) -> None:
    session = f"session {new_id()}"
    states: list[dict[str, Any]] = [{}]
    for key, value in changes:
        store.shared.set(session, "tenant", key, value, None)
        state = {**states[-1], key: value}
        shown = {one: text for one, text in state.items() if text is not None}
        if shown != states[-1] or value is not None:
            states.append(shown)
    wanted = min(target, len(states) - 1)
    reply = store.shared.roll_back(session, "tenant", wanted)
    assert reply.outcome == "set"
    expected = {key: json.loads(text) for key, text in states[wanted].items()}
    assert everything(store, session=session) == expected
    for version, state in enumerate(states):
        old = {key: json.loads(text) for key, text in state.items()}
        assert everything(store, version, session) == old
    assert store.shared.roll_back(session, "tenant", wanted) == reply


def test_going_back_gives_every_state_again_and_loses_none(store: Store) -> None:
    _goes_back(store)
