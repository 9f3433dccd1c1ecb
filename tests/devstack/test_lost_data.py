"""Danger: what was written is gone after a restart."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
import redis

from orchestrator.devstack import DataFolderUnusable, EmbeddedServers
from tests.support.waiting import answers


def _write(servers: EmbeddedServers) -> None:
    with redis.Redis.from_url(servers.redis_url) as client:
        client.set("kept", "yes")
    with psycopg.connect(servers.database_url) as db:
        db.execute("CREATE TABLE kept AS SELECT 'yes' AS word")


def _assert_kept(servers: EmbeddedServers) -> None:
    with redis.Redis.from_url(servers.redis_url) as client:
        assert client.get("kept") == b"yes"
    with psycopg.connect(servers.database_url) as db:
        assert db.execute("SELECT word FROM kept").fetchall() == [("yes",)]


def test_data_and_addresses_survive_a_stop(folder: Path) -> None:
    with EmbeddedServers(folder, durable=True) as servers:
        first = (servers.redis_url, servers.database_url)
        _write(servers)
    with EmbeddedServers(folder, durable=True) as servers:
        _assert_kept(servers)
        assert (servers.redis_url, servers.database_url) == first


def test_data_survive_a_kill(folder: Path) -> None:
    with EmbeddedServers(folder, durable=True) as servers:
        _write(servers)
        servers.redis.restart(kill=True)
        servers.database.restart(kill=True)
        _assert_kept(servers)


def test_durable_servers_sync_and_never_evict(folder: Path) -> None:
    with EmbeddedServers(folder, durable=True) as servers:
        with redis.Redis.from_url(servers.redis_url) as client:
            settings = client.config_get("append*", "maxmemory-policy")
        assert settings["appendonly"] == "yes"
        assert settings["appendfsync"] == "everysec"
        assert settings["maxmemory-policy"] == "noeviction"
        with psycopg.connect(servers.database_url) as db:
            assert db.execute("SHOW fsync").fetchone() == ("on",)
            assert db.execute("SHOW synchronous_commit").fetchone() == ("on",)


def test_an_interrupted_creation_is_done_again(folder: Path) -> None:
    half = folder / "postgres" / "data.unfinished"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18")
    (folder / "postgres").chmod(0o711)
    with EmbeddedServers(folder, durable=False, redis=False) as servers:
        assert answers(servers.database_url)
    assert not half.exists()


def test_data_of_another_major_version_are_left_alone(folder: Path) -> None:
    with EmbeddedServers(folder, durable=False, redis=False):
        pass
    version = folder / "postgres" / "data" / "PG_VERSION"
    version.write_text("17\n")
    with pytest.raises(DataFolderUnusable, match=r"of PostgreSQL 17, the server is 18"):
        EmbeddedServers(folder, durable=False, redis=False).start()
    assert version.read_text() == "17\n"


def test_a_forgotten_password_is_named_as_the_cause(folder: Path) -> None:
    with EmbeddedServers(folder, durable=False, redis=False):
        pass
    (folder / "postgres.password").unlink()
    with pytest.raises(DataFolderUnusable, match="password was changed"):
        EmbeddedServers(folder, durable=False, redis=False).start()
