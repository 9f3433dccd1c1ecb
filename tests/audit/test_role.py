"""Danger: whoever takes over a worker rewrites the audit trail with the worker's own connection."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from orchestrator import Orchestrator, bootstrap
from orchestrator.agents.registry import REGISTRY
from orchestrator.config.settings import Settings
from orchestrator.devstack import EmbeddedServers
from orchestrator.domain.errors import InvalidRequest
from orchestrator.engine import audit, rebuild
from orchestrator.engine.deps import Deps
from orchestrator.store import roles
from tests.audit.conftest import end, live
from tests.store.databases import database, url_of
from tests.support.processes import programs
from tests.support.waiting import wait_until
from workers.jobs import JOBS

ROLE, PASSWORD = "runner", "only-for-tests"


@pytest.fixture
def sql(run_servers: EmbeddedServers) -> Iterator[psycopg.Connection]:
    """A database of the test's own, and a role that may use it."""
    with (
        database(run_servers, "template_ours") as url,
        psycopg.connect(url, autocommit=True) as owner,
    ):
        owner.execute(f"CREATE ROLE {ROLE} LOGIN PASSWORD '{PASSWORD}'".encode())
        try:
            roles.grant(url, ROLE)
            yield owner
        finally:
            owner.execute(f"DROP OWNED BY {ROLE}".encode())
            owner.execute(f"DROP ROLE {ROLE}".encode())


@pytest.fixture
def role_url(sql: psycopg.Connection) -> str:
    url = sa.make_url(url_of(sql)).set(username=ROLE, password=PASSWORD)
    return url.render_as_string(hide_password=False)


@pytest.fixture
def limited(settings: Settings, role_url: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of a process that connects as the role."""
    monkeypatch.setenv("ORCHESTRATOR_DATABASE_URL", role_url)
    return settings.model_copy(update={"database_url": role_url})


@pytest.fixture
def bound(limited: Settings) -> Iterator[Deps]:
    deps = bootstrap.build(limited, specs=REGISTRY.specs())
    rebuild.run_once(deps)
    yield deps
    bootstrap.close(deps)


def test_workers_and_beats_run_as_the_role(limited: Settings, bound: Deps, tmp_path: Path) -> None:
    with programs(limited, tmp_path) as start, Orchestrator.from_settings(limited) as client:
        start.worker()
        start.beat()
        handle = client.spawn("tree", {"fan": 2, "depth": 1})
        assert handle.result(timeout=60) == 3
        wait_until(lambda: audit.verify(bound).seals > 0, "something is sealed", 60)
    assert audit.verify(bound).is_intact


def test_every_job_of_housekeeping_may_do_its_work(bound: Deps) -> None:
    deps = replace(bound, audit_retention=40 * 86_400.0)
    for job in JOBS:
        job.run_once(deps)
    one = live(deps.store, "a")
    end(deps.store, one)
    for job in JOBS:
        job.run_once(deps)
    assert audit.verify(deps).seals == 1


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE events SET reason = 'other'",
        "DELETE FROM events",
        "TRUNCATE events",
        "DELETE FROM events_first",
        "UPDATE events_default SET reason = 'other'",
        "TRUNCATE events_first",
        "DROP TABLE events_first",
        "ALTER TABLE events DISABLE TRIGGER append_only",
        "ALTER TABLE events DETACH PARTITION events_first",
        "SET session_replication_role = replica",
        "UPDATE audit_seals SET events = 1",
        "DELETE FROM audit_seals",
        "TRUNCATE audit_seals",
        "DELETE FROM limits",
        "ALTER TABLE instances DISABLE TRIGGER audit_changed",
        "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql "
        "AS 'BEGIN RETURN NULL; END'",
        "SELECT drop_event_part('events_first')",
        "SELECT drop_event_part('instances')",
        "CREATE TABLE mine ()",
    ],
)
def test_the_role_cannot_change_the_trail(bound: Deps, role_url: str, tampering: str) -> None:
    live(bound.store, "a")
    with (
        psycopg.connect(role_url) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(tampering.encode())


def test_a_role_that_does_not_exist_is_named(sql: psycopg.Connection) -> None:
    with pytest.raises(InvalidRequest, match="CREATE ROLE nobody"):
        roles.grant(url_of(sql), "nobody")


def test_a_role_that_grants_do_not_bind_is_refused(sql: psycopg.Connection) -> None:
    with pytest.raises(InvalidRequest, match="binds it") as refused:
        roles.grant(url_of(sql), sql.info.user)
    assert refused.value.code == "UNSAFE_ROLE"
