"""The engine on a bench."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest

from orchestrator import bootstrap
from orchestrator.agents.registry import REGISTRY, Registry
from orchestrator.client.orchestrator import Orchestrator
from orchestrator.config.settings import Settings
from orchestrator.devstack import EmbeddedServers
from orchestrator.engine import rebuild
from orchestrator.engine.catalogue import Catalogue
from orchestrator.engine.deps import Deps
from tests.engine.bench import CLOCK, DISPATCH, LEASE, WIDE, Bench
from tests.store.databases import database, empty, url_of


@pytest.fixture
def registry() -> Registry:
    """The agents of the tests, and room for a test's own."""
    registry = Registry()
    for name in REGISTRY.specs():
        known = REGISTRY.get(name)
        assert known is not None
        registry.add(known)
    return registry


@pytest.fixture
def wide(settings: Settings) -> Settings:
    """Limits that no test meets by accident, and the bench's times."""
    return settings.model_copy(
        update={"limits": WIDE, "lease": LEASE, "dispatch_timeout": DISPATCH}
    )


@pytest.fixture
def deps(wide: Settings, registry: Registry) -> Iterator[Deps]:
    """The engine with an open gate whose clock can be moved."""
    deps = bootstrap.build(wide, clock=CLOCK)
    deps = replace(deps, catalogue=Catalogue(registry.specs(), deps.store.agents))
    rebuild.run_once(deps)
    yield deps
    bootstrap.close(deps)


@pytest.fixture
def bench(deps: Deps, registry: Registry) -> Bench:
    """The engine, and a worker with much room."""
    bench = Bench(deps, registry)
    bench.offer()
    return bench


@pytest.fixture
def service(bench: Bench) -> Orchestrator:
    """A service on the bench's engine."""
    return Orchestrator(bench.deps)


@pytest.fixture(scope="module")
def shared(run_servers: EmbeddedServers) -> Iterator[psycopg.Connection]:
    """A migrated database that the tests of one file share."""
    with (
        database(run_servers, "template_ours") as url,
        psycopg.connect(url, autocommit=True) as connection,
    ):
        yield connection


@pytest.fixture
def sql(shared: psycopg.Connection) -> psycopg.Connection:
    """For what the store cannot be asked; each statement commits by itself. No rows at first."""
    empty(shared)
    return shared


@pytest.fixture
def database_url(sql: psycopg.Connection) -> str:
    """The same database, without any rows."""
    return url_of(sql)
