"""Servers of a test's own, whose network and life are the test's to break."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from orchestrator import bootstrap
from orchestrator.agents.registry import REGISTRY
from orchestrator.config.settings import Settings
from orchestrator.devstack import EmbeddedServers, scratch_folder
from orchestrator.engine import rebuild
from orchestrator.engine.deps import Deps
from orchestrator.store import migrate
from tests.store.databases import database
from tests.support.proxy import Proxy


@pytest.fixture(scope="module")
def servers() -> Iterator[EmbeddedServers]:
    """Real servers, shared by the tests of one file, which leave them running."""
    with scratch_folder() as folder, EmbeddedServers(folder, durable=True) as servers:
        with psycopg.connect(servers.database_url, autocommit=True) as admin:
            admin.execute("CREATE DATABASE template_ours")
        migrate.upgrade(servers.database_url.rpartition("/")[0] + "/template_ours")
        yield servers


@pytest.fixture
def database_url(servers: EmbeddedServers) -> Iterator[str]:
    """A migrated database of the test's own, straight to the server."""
    servers.database.start()
    with database(servers, "template_ours") as url:
        yield url


@pytest.fixture
def redis_proxy(servers: EmbeddedServers) -> Iterator[Proxy]:
    """The network between everybody and Redis."""
    with Proxy(servers.redis_url, seed=1) as proxy:
        yield proxy


@pytest.fixture
def database_proxy(servers: EmbeddedServers) -> Iterator[Proxy]:
    """The network between everybody and PostgreSQL."""
    with Proxy(servers.database_url, seed=2) as proxy:
        yield proxy


@pytest.fixture
def settings(
    servers: EmbeddedServers,
    database_url: str,
    redis_proxy: Proxy,
    database_proxy: Proxy,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Settings:
    """Through the network; short times, so that a test of a silence does not take long."""
    servers.redis.start()
    with redis.Redis.from_url(servers.redis_url) as client:
        client.flushall()
    monkeypatch.chdir(tmp_path)
    return Settings.load(
        redis_url=redis_proxy.through(servers.redis_url),
        database_url=database_proxy.through(database_url),
        redis_timeout=1.0,
        database_timeout=1.0,
        statement_timeout=1.0,
    )


@pytest.fixture
def deps(settings: Settings) -> Iterator[Deps]:
    """The engine with an open gate."""
    deps = bootstrap.build(settings, specs=REGISTRY.specs())
    rebuild.run_once(deps)
    yield deps
    bootstrap.close(deps)
