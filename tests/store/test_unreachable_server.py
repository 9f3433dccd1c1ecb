"""PostgreSQL that is away, refuses us or lacks our tables: one typed error that says what to do."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, LiteralString

import psycopg
import pytest
import sqlalchemy as sa

from orchestrator.devstack.ports import free_port
from orchestrator.domain.errors import OrchestratorError, SchemaOutdated, StoreUnavailable
from orchestrator.domain.instance import AgentSpec
from orchestrator.store import listen, migrate
from orchestrator.store.database import Connection, Database, to_libpq, to_sqlalchemy
from orchestrator.store.listen import notifications
from orchestrator.store.store import SPAWNED, Ending, Store
from tests.store.life import begun, record_many, root
from tests.support.make import spawn_of
from tests.support.waiting import wait_until


@contextmanager
def opened(url: str, **options: Any) -> Iterator[Store]:
    store = Store(Database(url, timeout=0.5, **options))
    try:
        yield store
    finally:
        store.close()


def with_password(url: str, password: str) -> str:
    return sa.make_url(url).set(password=password).render_as_string(hide_password=False)


def at_port(url: str, port: int) -> str:
    return sa.make_url(url).set(port=port).render_as_string(hide_password=False)


def in_database(url: str, name: str) -> str:
    return sa.make_url(url).set(database=name).render_as_string(hide_password=False)


WRONG: dict[str, Callable[[str], str]] = {
    "wrong password": lambda url: with_password(url, "wr0ng-s3cret"),
    "no server there": lambda url: at_port(url, free_port()),
    "no such database": lambda url: in_database(url, "nowhere"),
    "no such host": lambda _url: "postgresql://u:wr0ng-s3cret@host.invalid/x",
}


@pytest.mark.parametrize("fault", WRONG)
@pytest.mark.parametrize("ask", [Store.clock, migrate.current, migrate.upgrade])
def test_a_server_that_cannot_be_used_is_one_clear_error(
    database_url: str, fault: str, ask: Callable[[Any], object]
) -> None:
    url = WRONG[fault](database_url)
    with opened(url) as store, pytest.raises(StoreUnavailable) as caught:
        ask(store if ask is Store.clock else url)
    assert caught.value.code == "STORE_UNAVAILABLE"
    assert caught.value.retryable
    assert "orchestrator doctor" in str(caught.value)
    assert "wr0ng-s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("fault", "words"),
    [("wrong password", "password authentication failed"), ("no such database", "nowhere")],
)
def test_the_error_names_the_cause(database_url: str, fault: str, words: str) -> None:
    """Not only that no connection could be had: the person at the other end needs to know why."""
    with opened(WRONG[fault](database_url)) as store, pytest.raises(StoreUnavailable, match=words):
        store.clock()


ASK: list[Callable[[Store], object]] = [
    lambda store: store.record(spawn_of()),
    lambda store: record_many(store, [spawn_of()]),
    lambda store: store.begin(spawn_of().id, 1, "w"),
    lambda store: store.settle(spawn_of().id, 1, Ending("failed")),  # type: ignore[arg-type]  # a state by value
    lambda store: store.expire(spawn_of().id, 1),
    lambda store: store.cancel([spawn_of().id], "CANCELLED", "PARENT_ENDED"),
    lambda store: store.get(spawn_of().id),
    lambda store: store.list(),
    lambda store: store.agents(),
    lambda store: store.save_agents([AgentSpec("a")]),
    lambda store: store.orphans(1),
]


def test_a_database_without_our_tables_says_to_migrate(blank_url: str) -> None:
    with opened(blank_url) as store:
        for ask in ASK:
            with pytest.raises(SchemaOutdated, match="orchestrator migrate"):
                ask(store)


def test_a_callers_transaction_without_our_tables_says_to_migrate(blank_url: str) -> None:
    engine = sa.create_engine(to_sqlalchemy(blank_url), poolclass=sa.NullPool)
    with (
        opened(blank_url) as store,
        engine.connect() as connection,
        pytest.raises(SchemaOutdated, match="orchestrator migrate"),
    ):
        store.record_within(connection, spawn_of())


def test_a_lost_callers_connection_is_a_typed_error(
    store: Store, sql: psycopg.Connection, database_url: str
) -> None:
    engine = sa.create_engine(to_sqlalchemy(database_url), poolclass=sa.NullPool)
    connection = engine.connect()
    pid = connection.execute(sa.text("SELECT pg_backend_pid()")).scalar_one()
    sql.execute("SELECT pg_terminate_backend(%s)", (pid,))
    with pytest.raises(OrchestratorError) as caught:
        store.record_within(connection, spawn_of())
    connection.close()
    assert caught.value.code == "STORE_UNAVAILABLE"


def cut_off(
    connection: Connection, sql: psycopg.Connection, statement: LiteralString = "SELECT 1"
) -> None:
    """Use a connection, end it from the server's side, and use it again."""
    connection.execute(statement)
    sql.execute("SELECT pg_terminate_backend(%s)", (connection.info.backend_pid,))
    connection.execute("SELECT 1")


def terminate_all(sql: psycopg.Connection) -> int:
    """End every connection of the store, as a failover or an operator would; answers how many."""
    ours = """SELECT pid FROM pg_stat_activity
              WHERE application_name = 'orchestrator' AND datname = current_database()"""
    pids = {pid for (pid,) in sql.execute(ours.encode()).fetchall()}
    for pid in pids:
        sql.execute("SELECT pg_terminate_backend(%s)", (pid,))
    wait_until(
        lambda: pids.isdisjoint(pid for (pid,) in sql.execute(ours.encode()).fetchall()),
        "the connections are gone",
    )
    return len(pids)


def test_a_connection_that_died_while_idle_is_replaced_silently(
    store: Store, sql: psycopg.Connection
) -> None:
    for _ in range(3):
        assert store.record(spawn_of())
        assert terminate_all(sql) >= 1
    assert store.record(spawn_of())


def test_a_whole_pool_that_died_while_idle_is_replaced_silently(
    store: Store, sql: psycopg.Connection
) -> None:
    """As after a restart of the server: the next call must not meet one dead one after another."""
    together = threading.Barrier(8, timeout=20)

    def hold() -> None:
        with store.database.connection():
            together.wait()

    threads = [threading.Thread(target=hold) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert terminate_all(sql) >= 8
    assert store.record(spawn_of())


def test_also_where_a_transaction_begins_on_it(store: Store, sql: psycopg.Connection) -> None:
    one = begun(store, root(store))
    terminate_all(sql)
    assert record_many(store, [spawn_of(), spawn_of()]) == [True, True]
    terminate_all(sql)
    assert store.expire(one.id, 1) is not None


def test_a_connection_that_dies_in_use_is_a_typed_error_and_is_replaced(
    store: Store, sql: psycopg.Connection
) -> None:
    with pytest.raises(StoreUnavailable), store.database.connection() as connection:
        cut_off(connection, sql)
    store.clock()


def test_a_transaction_that_dies_leaves_nothing(store: Store, sql: psycopg.Connection) -> None:
    new = spawn_of()
    with pytest.raises(StoreUnavailable), store.database.transaction() as connection:
        cut_off(connection, sql, "INSERT INTO sessions (id, tenant) VALUES ('s', 't')")
    assert sql.execute("SELECT count(*) FROM sessions").fetchone() == (0,)
    assert store.record(new)


def test_a_statement_that_takes_too_long_is_ended(database_url: str) -> None:
    with opened(database_url, statement_timeout=0.05) as store:
        with pytest.raises(StoreUnavailable, match="statement timeout"):
            store.database.rows("SELECT pg_sleep(30)")
        store.clock()


def test_a_pool_that_is_used_up_is_a_typed_error(database_url: str) -> None:
    with (
        opened(database_url, max_connections=1) as store,
        store.database.connection(),
        pytest.raises(StoreUnavailable),
    ):
        store.clock()


def test_many_threads_share_few_connections(database_url: str, sql: psycopg.Connection) -> None:
    with opened(database_url, max_connections=2) as store:
        threads = [threading.Thread(target=store.record, args=(spawn_of(),)) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sql.execute("SELECT count(*) FROM instances").fetchone() == (20,)


@pytest.mark.parametrize(
    "url", ["postgres://u:p@h:1/d", "postgresql://u:p@h:1/d", "postgresql+psycopg://u:p@h:1/d"]
)
def test_urls_are_read_in_every_spelling(url: str) -> None:
    assert to_sqlalchemy(url) == "postgresql+psycopg://u:p@h:1/d"
    assert to_libpq(url) in ("postgres://u:p@h:1/d", "postgresql://u:p@h:1/d")


class TestListening:
    """Hearing of commits survives the loss of the connection."""

    @pytest.fixture
    def closed(self) -> Iterator[threading.Event]:
        closed = threading.Event()
        yield closed
        closed.set()

    @pytest.fixture
    def heard(
        self, database_url: str, closed: threading.Event, monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[list[str]]:
        monkeypatch.setattr(listen, "PATIENCE", 0.02)
        heard: list[str] = []

        def hear() -> None:
            # One by one, as they come: the list is looked at meanwhile.
            heard.extend(notifications(database_url, SPAWNED, closed))

        thread = threading.Thread(target=hear)
        thread.start()
        yield heard
        closed.set()
        thread.join()

    def listeners(self, sql: psycopg.Connection) -> list[int]:
        rows = sql.execute(
            "SELECT pid FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = "
            "current_database() AND pid <> pg_backend_pid()"
        ).fetchall()
        return [pid for (pid,) in rows]

    def test_a_commit_is_heard_and_a_rollback_is_not(
        self, store: Store, sql: psycopg.Connection, heard: list[str], database_url: str
    ) -> None:
        wait_until(lambda: self.listeners(sql), "it listens")
        engine = sa.create_engine(to_sqlalchemy(database_url), poolclass=sa.NullPool)
        lost, kept = spawn_of(), spawn_of()
        with engine.connect() as connection:
            store.record_within(connection, lost)
            connection.rollback()
            store.record_within(connection, kept)
            connection.commit()
        wait_until(lambda: kept.id in heard, "the commit was heard")
        assert lost.id not in heard

    def test_a_lost_connection_is_made_again(
        self, sql: psycopg.Connection, heard: list[str]
    ) -> None:
        wait_until(lambda: self.listeners(sql), "it listens")
        [first] = self.listeners(sql)
        sql.execute("SELECT pg_terminate_backend(%s)", (first,))
        wait_until(lambda: self.listeners(sql) not in ([], [first]), "it listens again")
        sql.execute("SELECT pg_notify(%s, 'hello')", (SPAWNED,))
        wait_until(lambda: "hello" in heard, "it hears again")
