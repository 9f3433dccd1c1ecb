"""The servers below the simulator: real ones, emptied for each schedule."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import psycopg

from orchestrator.admission.gate import Gate
from orchestrator.admission.scripts import Library
from orchestrator.devstack import EmbeddedServers, scratch_folder
from orchestrator.store import migrate
from orchestrator.store.schema import metadata
from orchestrator.store.store import Store
from tests.simulation.clock import EPOCH, Clock
from tests.simulation.floors import SimulatedDatabase, SimulatedLibrary, SimulatedShard

GATE = "simulation"
#: The functions stand before those of the server because `public` stands first in the path. As the
#: migrations run under it too, they are also in the defaults of columns.
_CLOCK = """
CREATE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
    RETURN to_timestamp(current_setting('simulation.now')::float8 / 1000);
CREATE FUNCTION public.now() RETURNS timestamptz LANGUAGE sql STABLE
    RETURN to_timestamp(current_setting('simulation.now')::float8 / 1000)
"""
#: What would let the order of rows depend on what was there before.
_SETTINGS = {
    "search_path": "public, pg_catalog",
    "simulation.now": f"'{EPOCH}'",
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "plan_cache_mode": "force_generic_plan",
    "synchronous_commit": "off",
}
_TABLES = """
SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
"""
#: How often a database is emptied before the dead rows are swept out too.
SWEEP_EVERY = 200


class Ground:
    """One PostgreSQL database and one gate, for one schedule after another."""

    def __init__(self, redis_url: str, database_url: str, library: Library | None = None) -> None:
        self.clock = Clock()
        self.database = SimulatedDatabase(database_url, self.clock)
        self.store = Store(self.database)
        self.gate = Gate(redis_url, library or SimulatedLibrary(), name=GATE)
        self.gate.close()
        self.shard = SimulatedShard(redis_url, GATE, self.clock)
        self.gate.shards = [self.shard]
        tables = [name for name in metadata.tables if name != "agents"]
        unguarded = "SET LOCAL session_replication_role = replica"
        self._delete = "; ".join([unguarded, *(f"DELETE FROM {name}" for name in tables)])
        self._sweep = f"{unguarded}; TRUNCATE {', '.join(tables)}"
        self._emptied = 0

    def empty(self) -> None:
        """As if nothing had ever happened, at the beginning of time."""
        self.clock.now, self.clock.gate_ahead = EPOCH, 0
        self.shard.empty()
        self._emptied += 1
        text = self._delete if self._emptied % SWEEP_EVERY else self._sweep
        with self.database.at_its_time().transaction():
            self.database.at_its_time().execute(text.encode())

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """What PostgreSQL has, without a point."""
        found = self.database.at_its_time().execute(sql.encode()).fetchall()
        return [
            {name: str(one) if isinstance(one, UUID) else one for name, one in row.items()}
            for row in found
        ]

    def close(self) -> None:
        """Give the connections back."""
        self.shard.close()
        self.store.close()


def prepare(database_url: str) -> str:
    """The URL of a new database whose clock is the simulator's."""
    with psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute("DROP DATABASE IF EXISTS simulated")
        admin.execute("CREATE DATABASE simulated")
        for name, value in _SETTINGS.items():
            admin.execute(f"ALTER DATABASE simulated SET {name} = {value}".encode())
    url = database_url.rpartition("/")[0] + "/simulated"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_CLOCK.encode())
    migrate.upgrade(url)
    with psycopg.connect(url, autocommit=True) as connection:
        for (name,) in connection.execute(_TABLES).fetchall():
            connection.execute(f"ALTER TABLE {name} SET (autovacuum_enabled = off)".encode())
    return url


@contextmanager
def ground() -> Iterator[Ground]:
    """Servers of this process's own."""
    with scratch_folder() as folder, EmbeddedServers(folder, durable=False) as servers:
        made = Ground(servers.redis_url, prepare(servers.database_url))
        try:
            yield made
        finally:
            made.close()
