"""The store on a database of the test's own, and a way to look past it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import psycopg
import pytest

from orchestrator.devstack import EmbeddedServers
from orchestrator.store.database import Database
from orchestrator.store.store import Store

_numbers = itertools.count(1)


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    """The store."""
    store = Store(Database(database_url))
    yield store
    store.close()


@pytest.fixture
def sql(database_url: str) -> Iterator[psycopg.Connection]:
    """A connection for what the store cannot be asked; each statement commits by itself."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def blank_urls(run_servers: EmbeddedServers) -> Iterator[list[str]]:
    """Two databases in which nothing has been made yet."""
    names = [f"blank_{next(_numbers)}" for _ in range(2)]
    with psycopg.connect(run_servers.database_url, autocommit=True) as admin:
        for name in names:
            admin.execute(f"CREATE DATABASE {name} TEMPLATE template0".encode())
        yield [run_servers.database_url.rpartition("/")[0] + "/" + name for name in names]
        for name in names:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture
def blank_url(blank_urls: list[str]) -> str:
    """A database in which nothing has been made yet."""
    return blank_urls[0]
