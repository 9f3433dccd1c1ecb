"""doctor: what is fine is said to be, and each thing that is not comes with what to do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from orchestrator import bootstrap
from orchestrator.config.settings import Settings
from orchestrator.devstack import EmbeddedServers, scratch_folder
from orchestrator.devstack.ports import free_port
from orchestrator.engine import rebuild
from orchestrator.engine.deps import Deps
from orchestrator.store import migrate
from tests.cli.conftest import Command

CHECKS = [
    "versions",
    "postgresql",
    "schema",
    "clocks",
    "redis",
    "eviction",
    "persistence",
    "workers",
    "housekeeping",
]


@pytest.fixture(scope="module")
def servers() -> Iterator[EmbeddedServers]:
    """Servers as production has them: durable, so that there is nothing to find fault with."""
    with scratch_folder() as folder, EmbeddedServers(folder, durable=True) as servers:
        migrate.upgrade(servers.database_url)
        yield servers


@pytest.fixture
def settings(servers: EmbeddedServers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ORCHESTRATOR_REDIS_URL", servers.redis_url)
    monkeypatch.setenv("ORCHESTRATOR_DATABASE_URL", servers.database_url)
    return Settings.load()


@pytest.fixture
def deps(settings: Settings) -> Iterator[Deps]:
    """An open gate with a worker and a beat."""
    deps = bootstrap.build(settings)
    rebuild.run_once(deps)
    deps.gate.heartbeat("worker-1", "default", 3, [])
    deps.store.housekeeping.expect({"sweep": 5.0}, "beat-1")
    with deps.store.database.connection() as connection:
        connection.execute("UPDATE housekeeping SET ended_at = clock_timestamp()")
    yield deps
    deps.gate.redis.flushall()
    bootstrap.close(deps)


@contextmanager
def configured(deps: Deps, name: str, value: str) -> Iterator[None]:
    """A setting of Redis, put back afterwards."""
    before = str(deps.gate.redis.config_get(name)[name])
    deps.gate.redis.config_set(name, value)
    try:
        yield
    finally:
        deps.gate.redis.config_set(name, before)


def findings(command: Command, exit_code: int) -> dict[str, dict[str, Any]]:
    ran = command("doctor", "--json")
    assert (ran.code, ran.err) == (exit_code, "")
    return {finding["check"]: finding for finding in json.loads(ran.out)}


def faults(command: Command) -> dict[str, str]:
    """The checks that are not fine, with the advice."""
    found = findings(command, 1)
    return {name: one["advice"] for name, one in found.items() if not one["ok"]}


@pytest.mark.usefixtures("deps")
def test_all_is_well(command: Command) -> None:
    found = findings(command, 0)
    assert list(found) == CHECKS
    assert all(one["ok"] and not one["advice"] for one in found.values())
    assert "worker-1 (default 3)" in found["workers"]["found"]
    plain = command("doctor")
    assert (plain.code, plain.err) == (0, "")
    assert len(plain.out.splitlines()) == len(CHECKS)


def test_no_worker(command: Command, deps: Deps) -> None:
    deps.gate.leave("worker-1")
    assert faults(command).keys() == {"workers"}
    assert "orchestrator worker" in faults(command)["workers"]


def test_no_beat_ever_was(command: Command, deps: Deps) -> None:
    with deps.store.database.connection() as connection:
        connection.execute("DELETE FROM housekeeping")
    assert faults(command).keys() == {"housekeeping"}
    assert "orchestrator beat" in faults(command)["housekeeping"]
    assert findings(command, 1)["housekeeping"]["found"] == "never"


def test_the_beats_are_dead(command: Command, deps: Deps) -> None:
    """A job is late once it has missed three rounds; others are not told of then."""
    deps.store.housekeeping.expect({"sweep": 5.0, "tidy": 3_600.0}, "beat-1")
    with deps.store.database.connection() as connection:
        connection.execute("UPDATE housekeeping SET ended_at = ended_at - interval '20 s'")
    assert faults(command).keys() == {"housekeeping"}
    found = findings(command, 1)["housekeeping"]["found"]
    assert found.startswith("sweep 2")
    assert "tidy" not in found


def test_keys_may_be_evicted(command: Command, deps: Deps) -> None:
    with configured(deps, "maxmemory-policy", "allkeys-lru"):
        assert faults(command).keys() == {"eviction"}
        assert "noeviction" in faults(command)["eviction"]
        assert findings(command, 1)["eviction"]["found"] == "allkeys-lru"


def test_nothing_is_kept_over_a_restart(command: Command, deps: Deps) -> None:
    with configured(deps, "appendonly", "no"):
        assert faults(command).keys() == {"persistence"}
        assert "appendonly yes" in faults(command)["persistence"]


def test_a_power_cut_would_lose_commits(command: Command, deps: Deps) -> None:
    with deps.store.database.connection() as connection:
        connection.execute("ALTER SYSTEM SET fsync = off")
        connection.execute("SELECT pg_reload_conf()")
        try:
            assert "fsync = on" in faults(command)["postgresql"]
        finally:
            connection.execute("ALTER SYSTEM RESET fsync")
            connection.execute("SELECT pg_reload_conf()")


def test_the_schema_is_missing(
    command: Command, deps: Deps, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert settings.database_url is not None
    other = settings.database_url.rpartition("/")[0] + "/postgres"
    monkeypatch.setenv("ORCHESTRATOR_DATABASE_URL", other)
    assert faults(command).keys() == {"schema", "housekeeping"}
    assert "orchestrator migrate" in faults(command)["schema"]


def test_redis_is_away(command: Command, deps: Deps, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_REDIS_URL", f"redis://:s3cret@127.0.0.1:{free_port()}/0")
    found = faults(command)
    assert {"redis", "workers"} <= found.keys()
    assert not {"versions", "postgresql", "schema", "eviction", "persistence"} & found.keys()
    assert "ORCHESTRATOR_REDIS_URL" in found["redis"]
    assert "s3cret" not in str(found)


def test_postgresql_is_away(command: Command, deps: Deps, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "ORCHESTRATOR_DATABASE_URL", f"postgresql://u:s3cret@127.0.0.1:{free_port()}/x"
    )
    found = faults(command)
    assert {"postgresql", "schema"} <= found.keys()
    assert not {"versions", "redis", "eviction", "persistence", "workers"} & found.keys()
    assert "ORCHESTRATOR_DATABASE_URL" in found["postgresql"]
    assert "s3cret" not in str(found)


def test_a_wrong_password_is_told_as_such(
    command: Command, deps: Deps, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert settings.database_url is not None
    head, _, rest = settings.database_url.partition("@")
    wrong = f"{head.rpartition(':')[0]}:wr0ng@{rest}"
    monkeypatch.setenv("ORCHESTRATOR_DATABASE_URL", wrong)
    assert "password authentication failed" in faults(command)["postgresql"]


def test_nothing_is_configured(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("REDIS_URL", "DATABASE_URL"):
        monkeypatch.delenv(f"ORCHESTRATOR_{name}", raising=False)
    assert "orchestrator dev" in faults(command)["settings"]


def test_a_setting_is_bad(
    command: Command, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCHESTRATOR_LEASE", "soon")
    assert "lease = 'soon'" in faults(command)["settings"]


def test_an_emptied_redis_is_no_fault(command: Command, deps: Deps) -> None:
    """Looking must not depend on the gate being open, nor wait for it."""
    deps.gate.redis.flushall()
    assert faults(command).keys() == {"workers"}
