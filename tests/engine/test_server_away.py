"""Redis or PostgreSQL is away during a spawn: one typed error, and nothing half-recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from orchestrator.devstack import EmbeddedServers, scratch_folder
from orchestrator.devstack.ports import free_port
from orchestrator.domain.errors import GateUnavailable, StoreUnavailable
from orchestrator.domain.ids import new_id
from orchestrator.domain.instance import Instance, NewInstance, SpawnRequest
from orchestrator.domain.lifecycle import State
from orchestrator.engine import reconcile
from orchestrator.engine.cancel import cancel
from orchestrator.engine.follow_up import follow_up
from orchestrator.engine.spawn import spawn_many
from orchestrator.engine.wait import wait_ended
from orchestrator.store.database import Database
from orchestrator.store.store import Store
from tests.engine.bench import Bench, count
from tests.support.make import spawn_of

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

    def record_many(
        self, news: Sequence[NewInstance], earlier: Callable[[NewInstance, Instance | None], str]
    ) -> dict[str, str]:
        recorded = super().record_many(news, earlier)
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
    def redis_url(self, servers: EmbeddedServers) -> str:
        return servers.redis_url

    @either_way
    def test_a_spawn_records_nothing(
        self, bench: Bench, servers: EmbeddedServers, sql: psycopg.Connection, spawning: Any
    ) -> None:
        servers.redis.stop()
        with pytest.raises(GateUnavailable) as caught:
            spawning(bench)
        assert caught.value.code == "GATE_UNAVAILABLE"
        assert "ORCHESTRATOR_REDIS_URL" in str(caught.value)
        assert [count(sql, table) for table in TABLES] == [0, 0, 0]

    @either_way
    def test_a_recorded_spawn_is_accepted_and_started_once_redis_is_back(
        self,
        bench: Bench,
        servers: EmbeddedServers,
        database_url: str,
        spawning: Any,
    ) -> None:
        """The row is the acceptance: an error now would make the caller spawn again."""
        dying = Bench(
            replace(bench.deps, store=DyingStore(Database(database_url), servers.redis.kill)),
            bench.registry,
        )
        ids = spawning(dying)
        ids = [ids] if isinstance(ids, str) else ids
        assert [bench.row(one).state for one in ids] == [State.QUEUED] * len(ids)
        # This Redis keeps nothing: the first to meet it fills it from PostgreSQL.
        servers.redis.start()
        bench.offer()
        assert sorted(bench.take_messages()) == sorted((one, 1) for one in ids)

    def test_a_spawn_that_neither_server_can_finish_leaves_only_what_runs_out(
        self, bench: Bench, servers: EmbeddedServers, database_url: str, sql: psycopg.Connection
    ) -> None:
        """Redis dies after check-in and PostgreSQL does not answer: two errors, one told."""

        def both_gone() -> None:
            servers.redis.kill()
            raise StoreUnavailable("STORE_UNAVAILABLE", "gone")

        class Gone(Store):
            def record(self, new: NewInstance) -> bool:
                both_gone()
                return True

        with pytest.raises(StoreUnavailable):
            Bench(replace(bench.deps, store=Gone(Database(database_url))), bench.registry).spawn()
        assert [count(sql, table) for table in TABLES] == [0, 0, 0]

    def test_a_cancellation_ends_the_rows_and_can_be_repeated(
        self, bench: Bench, servers: EmbeddedServers
    ) -> None:
        one = bench.begin(bench.spawn()).id
        servers.redis.stop()
        with pytest.raises(GateUnavailable):
            cancel(bench.deps, one)
        assert bench.row(one).state is State.CANCELLED
        servers.redis.start()
        cancel(bench.deps, one)

    def test_a_followed_up_spawn_is_not_lost(self, bench: Bench, servers: EmbeddedServers) -> None:
        new = spawn_of(agent="add", args='{"a": 1}')
        bench.deps.store.record(new)
        servers.redis.stop()
        with pytest.raises(GateUnavailable):
            follow_up(bench.deps, [new.id])
        servers.redis.start()
        bench.offer()
        follow_up(bench.deps, [new.id])
        assert bench.take_messages() == [(new.id, 1)]

    def test_reading_the_gate_is_the_same_error(
        self, bench: Bench, servers: EmbeddedServers
    ) -> None:
        servers.redis.stop()
        gate = bench.deps.gate
        for ask in (gate.held, gate.backlog, gate.workers, gate.now, lambda: gate.unknown(["x"])):
            with pytest.raises(GateUnavailable):
                ask()
