"""Danger: somebody who may do everything in the database changes the trail, and nobody sees it."""

from __future__ import annotations

import psycopg
import pytest

from orchestrator.engine import audit, seal
from orchestrator.engine.deps import Deps
from tests.audit.conftest import live, sealed_trail, tamper

#: Of an event.
COLUMNS = (
    "instance_id, session, tenant, agent, from_state, to_state, reason, attempt, worker, at, kind, "
    "detail"
)
#: What is done to a trail of eight events in one round and three in the next, and words of what
#: is found.
TAMPERINGS = {
    "a reason": ("UPDATE events SET reason = 'other' WHERE sequence = 3", "not as they were"),
    "a time": ("UPDATE events SET at = at + interval '1 us' WHERE sequence = 3", "not as they"),
    "a detail": ("UPDATE events SET detail = '{\"x\": 1}' WHERE sequence = 3", "not as they"),
    "a worker": ("UPDATE events SET worker = NULL WHERE sequence = 2", "not as they were"),
    "an event is gone": ("DELETE FROM events WHERE sequence = 3", "found: 1 (4)"),
    "the first is gone": ("DELETE FROM events WHERE sequence = 1", "4 events from 1 to 6"),
    "the newest is gone": ("DELETE FROM events WHERE sequence = 11", "found: 1 (9)"),
    "a session's events are gone": ("DELETE FROM events WHERE session = 'c'", "found: none"),
    "an event is moved": (
        "UPDATE events SET sequence = 99 WHERE sequence = 9",
        "found: 1 (11)",
    ),
    "two change places": (
        "UPDATE events SET sequence = 7 - sequence WHERE sequence IN (2, 5)",
        "not as they were",
    ),
    "one is moved to another session": (
        "UPDATE events SET session = 'b' WHERE sequence = 1",
        "found: 3 (1, 3, 4)",
    ),
    "one is added to a session": (
        f"INSERT INTO events (sequence, {COLUMNS}) OVERRIDING SYSTEM VALUE "
        f"SELECT 0, {COLUMNS} FROM events WHERE sequence = 3",
        "found: 3",
    ),
    "one is added in a session of its own": (
        f"INSERT INTO events (sequence, {COLUMNS}) OVERRIDING SYSTEM VALUE "
        f"SELECT 0, {COLUMNS.replace('session', chr(39) + 'z' + chr(39), 1)} "
        "FROM events WHERE sequence = 3",
        "in no seal",
    ),
    "a seal": ("UPDATE audit_seals SET events = 3 WHERE number = 2", "the seal itself"),
    "a seal's time": (
        "UPDATE audit_seals SET sealed_at = sealed_at + interval '1 us' WHERE number = 2",
        "the seal itself",
    ),
    "a seal's hash": (
        "UPDATE audit_seals SET hash = sha256('x') WHERE number = 2",
        "does not follow the seal before it",
    ),
    "a seal is gone": ("DELETE FROM audit_seals WHERE number = 2", "seals 2 to 2 are missing"),
    "seals change places": (
        "UPDATE audit_seals SET number = -1 WHERE number = 1; "
        "UPDATE audit_seals SET number = 1 WHERE number = 2; "
        "UPDATE audit_seals SET number = 2 WHERE number = -1",
        "does not follow",
    ),
}


@pytest.fixture
def trail(deps: Deps, sql: psycopg.Connection) -> psycopg.Connection:
    """Eleven sealed events of three sessions."""
    sealed_trail(deps)
    return sql


def test_an_untouched_trail_is_intact(deps: Deps, trail: psycopg.Connection) -> None:
    found = audit.verify(deps)
    assert found.is_intact
    assert (found.seals, found.events, found.sessions, found.unsealed) == (5, 11, 3, 0)
    newest = audit.head(deps)
    assert newest is not None
    assert found.head == newest.hash


@pytest.mark.parametrize("what", TAMPERINGS)
def test_tampering_is_found_and_named(deps: Deps, trail: psycopg.Connection, what: str) -> None:
    statement, words = TAMPERINGS[what]
    tamper(trail, statement)
    found = audit.verify(deps)
    assert not found.is_intact
    assert any(words in one.what for one in found.findings), found.findings


@pytest.mark.parametrize("what", TAMPERINGS)
def test_tampering_is_found_in_an_export(deps: Deps, trail: psycopg.Connection, what: str) -> None:
    assert audit.verify_lines(audit.export(deps)).is_intact
    tamper(trail, TAMPERINGS[what][0])
    assert not audit.verify_lines(audit.export(deps)).is_intact


def test_a_whole_session_cannot_be_taken_away(deps: Deps, trail: psycopg.Connection) -> None:
    tamper(trail, "DELETE FROM events WHERE session = 'c'")
    tamper(trail, "DELETE FROM audit_seals WHERE session = 'c'")
    assert any("are missing" in one.what for one in audit.verify(deps).findings)


def test_a_cut_off_end_shows_only_by_a_noted_head(deps: Deps, trail: psycopg.Connection) -> None:
    noted = audit.verify(deps).head
    assert audit.verify(deps, anchor=noted).is_intact
    tamper(trail, "DELETE FROM events WHERE sequence > 8")
    tamper(trail, "DELETE FROM audit_seals WHERE number > 3")
    assert audit.verify(deps).is_intact
    [finding] = audit.verify(deps, anchor=noted).findings
    assert "the noted head is not in the chain" in finding.what


def test_an_older_head_is_still_in_the_chain(deps: Deps) -> None:
    sealed_trail(deps)
    noted = audit.verify(deps).head
    live(deps.store, "later")
    seal.run_once(deps)
    assert audit.verify(deps, anchor=noted).is_intact


def test_a_rewritten_chain_shows_by_a_noted_head(deps: Deps, trail: psycopg.Connection) -> None:
    noted = audit.verify(deps).head
    tamper(trail, "UPDATE events SET reason = 'other' WHERE sequence = 11")
    tamper(trail, "DELETE FROM audit_seals WHERE number > 3")
    assert seal.run_once(deps).sealed == 3
    assert audit.verify(deps).is_intact
    assert not audit.verify(deps, anchor=noted).is_intact


def test_one_session_is_judged_by_itself(deps: Deps, trail: psycopg.Connection) -> None:
    tamper(trail, "UPDATE events SET reason = 'other' WHERE sequence = 3")
    assert audit.verify(deps, session="a").is_intact
    assert not audit.verify(deps, session="b").is_intact
