"""Redis or PostgreSQL is away during a spawn: one typed error, and nothing half-recorded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from orchestrator import bootstrap
from orchestrator.config.settings import Settings
from orchestrator.devstack import EmbeddedServers, scratch_folder
from orchestrator.devstack.ports import free_port
from orchestrator.domain.errors import GateUnavailable, StoreUnavailable
from orchestrator.domain.ids import new_id
from orchestrator.domain.instance import NewInstance, SpawnRequest
from orchestrator.domain.lifecycle import State
from orchestrator.engine import rebuild, reconcile
from orchestrator.engine.cancel import cancel
from orchestrator.engine.deps import Deps
from orchestrator.engine.follow_up import follow_up
from orchestrator.engine.spawn import spawn_many
from orchestrator.engine.wait import wait_ended
from orchestrator.store.database import Database
from orchestrator.store.store import Store
from tests.engine.bench import Bench, count

SPAWNS = [
    lambda bench: bench.spawn(),
    lambda bench: spawn_many(bench.deps, [SpawnRequest("add", {"a": n}) for n in range(3)]),
]
either_way = pytest.mark.parametrize("spawning", SPAWNS, ids=["one", "batch"])
TABLES = ("sessions", "instances", "events")


class TestPostgresqlAway:
    """Nobody listens where PostgreSQL should be; the gate is open."""

    @pytest.fixture
    def cut_off(self, bench: Bench) -> Bench:
        url = f"postgresql://nobody:n0thing@127.0.0.1:{free_port()}/x"
        store = Store(Database(url, timeout=0.2))
        return Bench(replace(bench.deps, store=store), bench.registry)

    @either_way
    @pytest.mark.parametrize("capacity", [100, 1, 0])
    def test_a_spawn_gives_back_what_the_gate_held(
        self, bench: Bench, cut_off: Bench, spawning: Any, capacity: int
    ) -> None:
        bench.offer(capacity)
        before = bench.state()
        with pytest.raises(StoreUnavailable) as caught:
            spawning(cut_off)
        assert caught.value.code == "STORE_UNAVAILABLE"
        assert "ORCHESTRATOR_DATABASE_URL" in str(caught.value)
        assert bench.state() == before

    def test_every_question_is_answered_by_the_same_error(self, cut_off: Bench) -> None:
        for ask in (
            lambda: cancel(cut_off.deps, new_id()),
            lambda: wait_ended(cut_off.deps, [new_id()], 0.0),
            lambda: reconcile.run_once(cut_off.deps),
        ):
            with pytest.raises(StoreUnavailable):
                ask()


class DyingStore(Store):
    """The real store; something happens right after a spawn was recorded."""

    def __init__(self, database: Database, after: Any) -> None:
        super().__init__(database)
        self._after = after

    def record(self, new: NewInstance) -> bool:
        recorded = super().record(new)
        self._after()
        return recorded

    def record_many(self, news: Sequence[NewInstance]) -> list[bool]:
        recorded = super().record_many(news)
        self._after()
        return recorded


class TestRedisAway:
    """A Redis of its own, because it dies."""

    @pytest.fixture
    def servers(self) -> Iterator[EmbeddedServers]:
        with (
            scratch_folder() as folder,
            EmbeddedServers(folder, durable=False, database=False) as servers,
        ):
            yield servers

    @pytest.fixture
    def deps(
        self, settings: Settings, servers: EmbeddedServers, bench: Bench
    ) -> Iterator[Deps]:
        located = settings.model_copy(update={"redis_url": servers.redis_url})
        deps = replace(bootstrap.build(located), catalogue=bench.deps.catalogue)
        rebuild.run_once(deps)
        yield deps
        bootstrap.close(deps)

    @pytest.fixture
    def lone(self, deps: Deps, bench: Bench) -> Bench:
        """A bench on the Redis that dies. (`bench` itself stands on the other.)"""
        lone = Bench(deps, bench.registry)
        lone.offer()
        return lone
