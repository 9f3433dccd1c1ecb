"""Danger: old parts stay for ever, young ones are lost, or what is left cannot be verified."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from orchestrator.config.settings import Settings
from orchestrator.devstack import EmbeddedServers
from orchestrator.domain.errors import ConfigurationError
from orchestrator.engine import audit, retain, seal
from orchestrator.engine.deps import Deps
from tests.audit.conftest import end, live, tamper
from tests.store.databases import database

AHEAD = retain.AHEAD


@pytest.fixture
def sql(run_servers: EmbeddedServers) -> Iterator[psycopg.Connection]:
    """A database of the test's own: its parts are changed."""
    with (
        database(run_servers, "template_ours") as url,
        psycopg.connect(url, autocommit=True) as connection,
    ):
        yield connection


def parts(sql: psycopg.Connection) -> list[tuple[str, datetime]]:
    """The parts, oldest first, and when each ends."""
    return sql.execute("SELECT part, until FROM event_parts()").fetchall()


def months_pass(sql: psycopg.Connection) -> None:
    """As if the first part had ended three months ago, and no beat had run since."""
    ends = (datetime.now(UTC) - timedelta(days=92)).replace(day=1, hour=0, minute=0, second=0)
    bounds = f"FROM (MINVALUE) TO ('{ends:%Y-%m-%d}')"
    sql.execute("ALTER TABLE events DETACH PARTITION events_first")
    sql.execute(f"ALTER TABLE events ATTACH PARTITION events_first FOR VALUES {bounds}".encode())


def keeping(deps: Deps, days: float) -> Deps:
    return replace(deps, audit_retention=days * 86_400)


@pytest.fixture
def aged(deps: Deps, sql: psycopg.Connection) -> str:
    """An instance with two events a year ago, sealed then, and one now; all parts are there."""
    months_pass(sql)
    one = live(deps.store, "old")
    with sql.transaction():
        sql.execute("SET LOCAL session_replication_role = replica")
        sql.execute("UPDATE events SET at = at - interval '400 days'")
    assert seal.run_once(deps).sealed == 2
    end(deps.store, one)
    live(deps.store, "young")
    assert seal.run_once(deps).sealed == 3
    assert retain.run_once(deps).made > AHEAD
    return one


def test_parts_are_made_for_the_coming_months(deps: Deps, sql: psycopg.Connection) -> None:
    assert retain.run_once(deps).made == AHEAD
    found = parts(sql)
    assert len(found) == 1 + AHEAD
    assert [until.astimezone(UTC).day for _, until in found] == [1] * len(found)
    assert found[0][1] > datetime.now(UTC)
    assert retain.run_once(deps).made == 0


def test_without_a_part_events_are_taken_all_the_same(deps: Deps, sql: psycopg.Connection) -> None:
    months_pass(sql)
    one = live(deps.store, "late")
    assert sql.execute("SELECT count(*) FROM events_default").fetchone() == (2,)
    retain.run_once(deps)
    # They are in a part with an end now, and the default one is empty again.
    assert sql.execute("SELECT count(*) FROM events_default").fetchone() == (0,)
    assert parts(sql)[-1][1] > datetime.now(UTC) + timedelta(days=60)
    end(deps.store, one)
    assert sql.execute("SELECT count(*) FROM events_default").fetchone() == (0,)
    assert len(deps.store.events(one)) == 3


def test_every_part_is_append_only_by_itself(
    deps: Deps, sql: psycopg.Connection, aged: str
) -> None:
    tables = [part for part, _ in parts(sql)] + ["events_default"]
    assert len(tables) > AHEAD
    for table in tables:
        for change in ("DELETE FROM {}", "UPDATE {} SET reason = 'x'", "TRUNCATE {}"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
                sql.execute(change.format(table).encode())


def test_nothing_is_dropped_unless_a_retention_is_set(
    deps: Deps, sql: psycopg.Connection, aged: str
) -> None:
    assert retain.run_once(deps).dropped == 0
    assert retain.run_once(keeping(deps, 200)).dropped == 0
    assert len(deps.store.events(aged)) == 3


def test_what_is_left_of_an_old_trail_can_be_verified(
    deps: Deps, sql: psycopg.Connection, aged: str
) -> None:
    noted = audit.verify(deps).head
    assert retain.run_once(keeping(deps, 40)).dropped == 1
    assert [event.to_state for event in deps.store.events(aged)] == ["completed"]
    found = audit.verify(deps, anchor=noted)
    assert (found.findings, found.events) == ((), 3)
    assert audit.verify_lines(audit.export(deps)).is_intact
    live(deps.store, "old")
    assert seal.run_once(deps).sealed == 2
    assert audit.verify(deps).is_intact
    tamper(sql, "DELETE FROM events WHERE to_state = 'completed'")
    assert not audit.verify(deps).is_intact


def test_a_round_that_is_dropped_in_part_keeps_the_rest_in_the_cut(
    deps: Deps, sql: psycopg.Connection
) -> None:
    months_pass(sql)
    live(deps.store, "old")
    with sql.transaction():
        sql.execute("SET LOCAL session_replication_role = replica")
        sql.execute("UPDATE events SET at = at - interval '400 days' WHERE to_state = 'queued'")
    seal.run_once(deps)
    retain.run_once(deps)
    assert retain.run_once(keeping(deps, 40)).dropped == 1
    assert audit.verify(deps).is_intact
    tamper(sql, "UPDATE events SET reason = 'other'")
    assert not audit.verify(deps).is_intact


def test_what_is_not_sealed_is_not_dropped(deps: Deps, sql: psycopg.Connection) -> None:
    months_pass(sql)
    live(deps.store, "old")
    with sql.transaction():
        sql.execute("SET LOCAL session_replication_role = replica")
        sql.execute("UPDATE events SET at = at - interval '400 days'")
    retain.run_once(deps)
    assert retain.run_once(keeping(deps, 40)).dropped == 0
    seal.run_once(deps)
    assert retain.run_once(keeping(deps, 40)).dropped > 0
    assert deps.store.audit.newest_cut() is not None


def test_events_that_go_without_a_cut_are_missed(
    deps: Deps, sql: psycopg.Connection, aged: str
) -> None:
    sql.execute("DROP TABLE events_first")
    assert not audit.verify(deps).is_intact


def test_the_function_that_drops_refuses_what_is_young_or_not_told_of(
    deps: Deps, sql: psycopg.Connection, aged: str
) -> None:
    newest = parts(sql)[-1][0]
    for part, words in (
        (newest, "30 days at least"),
        ("instances", "30 days at least"),
        ("events_default", "30 days at least"),
        ("events_first", "no seal says"),
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match=words):
            sql.execute("SELECT drop_event_part(%s)", (part,))


def test_a_retention_below_thirty_days_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="audit_retention"):
        Settings.load(audit_retention=86_400)
