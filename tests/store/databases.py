"""Databases for tests that need more than rows of their own in one, or only that.

A database of its own for each test costs more than most tests. Where rows are all that a test
leaves, those of one file share a database that is emptied before each.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from orchestrator.devstack import EmbeddedServers
from orchestrator.store.schema import metadata

_numbers = itertools.count(1)

#: Past the guards: the audit trail cannot be emptied otherwise.
_EMPTY = "SET LOCAL session_replication_role = replica; " + "; ".join(
    f"DELETE FROM {table}" for table in metadata.tables
)


@contextmanager
def database(servers: EmbeddedServers, template: str) -> Iterator[str]:
    """The URL of a new database, a copy of `template_ours` (migrated) or `template0` (blank)."""
    name = f"own_{next(_numbers)}"
    with psycopg.connect(servers.database_url, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY".encode())
        yield servers.database_url.rpartition("/")[0] + "/" + name
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def empty(connection: psycopg.Connection) -> None:
    """Take all rows away."""
    with connection.transaction():
        connection.execute(_EMPTY.encode())


def url_of(connection: psycopg.Connection) -> str:
    """Where a connection leads."""
    info = connection.info
    return f"postgresql://{info.user}:{info.password}@{info.host}:{info.port}/{info.dbname}"
