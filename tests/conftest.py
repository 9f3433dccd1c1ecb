"""Real servers for the whole run; an own database and an empty Redis for each test."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from orchestrator import bootstrap
from orchestrator.agents.registry import REGISTRY
from orchestrator.config.settings import Settings
from orchestrator.devstack import EmbeddedServers, scratch_folder
from orchestrator.engine import rebuild
from orchestrator.engine.deps import Deps
from orchestrator.store import migrate
from tests.support import agents  # noqa: F401  # registers the agents of the tests

# Property tests are never judged by the time they take: machines are shared.
hypothesis_settings.register_profile(
    "unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
hypothesis_settings.load_profile("unhurried")

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def run_servers() -> Iterator[EmbeddedServers]:
    """PostgreSQL and a Redis-protocol server, shared by all tests that only use them."""
    with scratch_folder() as folder, EmbeddedServers(folder, durable=False) as servers:
        _make_template(servers.database_url)
        yield servers


@pytest.fixture
def database_url(run_servers: EmbeddedServers) -> Iterator[str]:
    """A migrated database of the test's own."""
    name = f"test_{next(_numbers)}"
    with psycopg.connect(run_servers.database_url, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE template_ours STRATEGY FILE_COPY")
    yield run_servers.database_url.rpartition("/")[0] + "/" + name
    with psycopg.connect(run_servers.database_url, autocommit=True) as admin:
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def redis_url(run_servers: EmbeddedServers) -> str:
    """An empty Redis."""
    with redis.Redis.from_url(run_servers.redis_url) as client:
        client.flushall()
    return run_servers.redis_url


@pytest.fixture
def settings(
    database_url: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    """Settings for the test's own servers; nothing of the surroundings is read."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ORCHESTRATOR_REDIS_URL", redis_url)
    monkeypatch.setenv("ORCHESTRATOR_DATABASE_URL", database_url)
    return Settings.load()


@pytest.fixture
def deps(settings: Settings) -> Iterator[Deps]:
    """The engine on the test's servers, with an open gate and the agents of the tests known."""
    deps = bootstrap.build(settings, specs=REGISTRY.specs())
    rebuild.run_once(deps)
    yield deps
    bootstrap.close(deps)


def _make_template(url: str) -> None:
    """A migrated database that each test's own is copied from."""
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute("CREATE DATABASE template_ours")
    migrate.upgrade(url.rpartition("/")[0] + "/template_ours")
