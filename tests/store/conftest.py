"""The store on a database that the tests of one file share, emptied before each."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from orchestrator.devstack import EmbeddedServers
from orchestrator.store.database import Database
from orchestrator.store.store import Store
from tests.store.databases import database, empty, url_of


@pytest.fixture(scope="module")
def shared(run_servers: EmbeddedServers) -> Iterator[psycopg.Connection]:
    """A migrated database of this file's own, as its owner sees it."""
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


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    """The store."""
    store = Store(Database(database_url))
    yield store
    store.close()


@pytest.fixture
def blank_url(run_servers: EmbeddedServers) -> Iterator[str]:
    """A database in which nothing has been made yet."""
    with database(run_servers, "template0") as url:
        yield url


@pytest.fixture
def other_blank_url(run_servers: EmbeddedServers) -> Iterator[str]:
    """Another such."""
    with database(run_servers, "template0") as url:
        yield url
