"""The store on a database that the tests of one file share, emptied before each."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import psycopg
import pytest

from orchestrator.devstack import EmbeddedServers
from orchestrator.store.database import Database
from orchestrator.store.store import Store

_numbers = itertools.count(1)

#: Past the guards: the audit trail cannot be emptied otherwise.
_EMPTY = """
    SET LOCAL session_replication_role = replica;
    DELETE FROM events; DELETE FROM instances; DELETE FROM sessions; DELETE FROM agents
"""


@pytest.fixture(scope="module")
def shared(run_servers: EmbeddedServers) -> Iterator[psycopg.Connection]:
    """A migrated database of this file's own, as its owner sees it."""
    for url in _databases(run_servers, "shared", "template_ours"):
        with psycopg.connect(url, autocommit=True) as connection:
            yield connection


@pytest.fixture
def sql(shared: psycopg.Connection) -> psycopg.Connection:
    """For what the store cannot be asked; each statement commits by itself. No rows at first."""
    with shared.transaction():
        shared.execute(_EMPTY.encode())
    return shared


@pytest.fixture
def database_url(sql: psycopg.Connection) -> str:
    """The same database, without any rows."""
    info = sql.info
    return f"postgresql://{info.user}:{info.password}@{info.host}:{info.port}/{info.dbname}"


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    """The store."""
    store = Store(Database(database_url))
    yield store
    store.close()


@pytest.fixture
def blank_url(run_servers: EmbeddedServers) -> Iterator[str]:
    """A database in which nothing has been made yet."""
    yield from _databases(run_servers, "blank", "template0")


@pytest.fixture
def other_blank_url(run_servers: EmbeddedServers) -> Iterator[str]:
    """Another such."""
    yield from _databases(run_servers, "blank", "template0")


def _databases(servers: EmbeddedServers, name: str, template: str) -> Iterator[str]:
    name = f"{name}_{next(_numbers)}"
    with psycopg.connect(servers.database_url, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY".encode())
        yield servers.database_url.rpartition("/")[0] + "/" + name
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
