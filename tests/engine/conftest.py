"""The engine on a bench."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest

from orchestrator import bootstrap
from orchestrator.agents.registry import REGISTRY, Registry
from orchestrator.config.settings import Settings
from orchestrator.engine import rebuild
from orchestrator.engine.catalogue import Catalogue
from orchestrator.engine.deps import Deps
from tests.engine.bench import CLOCK, Bench


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
def deps(settings: Settings, registry: Registry) -> Iterator[Deps]:
    """The engine with an open gate whose clock can be moved."""
    deps = bootstrap.build(settings, clock=CLOCK)
    deps = replace(deps, catalogue=Catalogue(registry.specs(), deps.store.agents))
    rebuild.run_once(deps)
    yield deps
    bootstrap.close(deps)


@pytest.fixture
def bench(deps: Deps, registry: Registry) -> Bench:
    """The engine, and a worker with much room."""
    bench = Bench(deps, registry)
    bench.limit()
    bench.offer()
    return bench


@pytest.fixture
def sql(database_url: str) -> Iterator[psycopg.Connection]:
    """A connection for what the store cannot be asked; each statement commits by itself."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection
