"""Connections to PostgreSQL, and its errors in our words."""

from __future__ import annotations

import select
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import errors as pg_errors
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import set_json_loads
from psycopg_pool import ConnectionPool, PoolTimeout

from orchestrator.domain.errors import SchemaOutdated, StoreUnavailable
from orchestrator.store.away import all_in_use, just_back, unavailable
from orchestrator.store.connection import KEEPALIVES, MARGIN, BoundedConnection, NoAnswer, bounded
from orchestrator.store.envelope import reader
from orchestrator.store.sealer import Plain, Sealer

if TYPE_CHECKING:
    from orchestrator.store.vault import Vault

Connection = psycopg.Connection[DictRow]


def to_libpq(url: str) -> str:
    """The URL as libpq reads it: SQLAlchemy's driver suffix is cut off."""
    scheme, _, rest = url.partition("://")
    return f"{scheme.partition('+')[0]}://{rest}"


def to_sqlalchemy(url: str) -> str:
    """The URL as SQLAlchemy reads it, naming psycopg 3 as the driver."""
    return "postgresql+psycopg://" + url.partition("://")[2]


class Database:
    """A pool of connections, opened at the first use.

    Every connection commits by itself; `transaction()` groups statements. `StoreUnavailable` is
    raised where no connection is to be had within `timeout` seconds (and 2 more, in which the
    server is asked why), or a statement has no answer after `statement_timeout` seconds (and 2
    more, in which it ends it itself).
    """

    def __init__(
        self,
        url: str,
        *,
        max_connections: int = 10,
        timeout: float = 5.0,
        statement_timeout: float = 10.0,
        vault: Vault | None = None,
    ) -> None:
        self.vault = vault
        self.sealer: Sealer = vault or Plain()
        bound = bounded(statement_timeout + MARGIN)

        def configure(connection: Connection) -> None:
            bound(connection)
            # The one place where what is encrypted is opened: all JSON that is read passes here.
            set_json_loads(reader(vault), connection)

        self._url = to_libpq(url)
        self._timeout, self._most = timeout, max_connections
        self._asking = threading.Lock()
        self._last_cause: psycopg.Error | None = None
        self._pool: ConnectionPool[Connection] = ConnectionPool(
            self._url,
            connection_class=BoundedConnection,
            configure=configure,
            kwargs=KEEPALIVES
            | {
                "autocommit": True,
                "row_factory": dict_row,
                "connect_timeout": max(2, round(timeout)),
                "application_name": "orchestrator",
                "options": _options(statement_timeout),
                # A server that has vanished acknowledges nothing.
                "tcp_user_timeout": round((statement_timeout + MARGIN) * 1000),
            },
            min_size=1,
            max_size=max_connections,
            timeout=timeout,
            open=False,
        )

    def close(self) -> None:
        """Give all connections back to the server."""
        self._pool.close()
        if self.vault is not None:
            self.vault.close()

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """A connection that commits each statement by itself."""
        if self._pool.closed:
            self._open()
        try:
            with _translated():
                connection = self._borrow()
                try:
                    yield connection
                finally:
                    self._pool.putconn(connection)
        except PoolTimeout as error:
            raise self._no_connection() from error
        except StoreUnavailable as error:
            if isinstance(error.__cause__, psycopg.OperationalError) and not _is_told(error):
                # Whatever ended this connection has mostly ended the idle ones beside it.
                self._pool.drain()
            raise

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A connection within one transaction: all of it or nothing.

        Where the first connection ends before the transaction has begun, another one is taken: a
        server's last words may be under way while we look for them.
        """
        for last in (False, True):
            with ExitStack() as opened:
                connection = opened.enter_context(self.connection())
                try:
                    opened.enter_context(connection.transaction())
                except psycopg.OperationalError as error:
                    if last or isinstance(error, NoAnswer):
                        raise
                    continue
                yield connection
                return

    def rows(self, sql: str, **parameters: Any) -> list[DictRow]:
        """All rows of one statement in a transaction of its own."""
        for last in (False, False, True):
            try:
                with self.connection() as connection:
                    return connection.execute(sql, parameters).fetchall()
            except StoreUnavailable as error:
                if last or not isinstance(error.__cause__, _CHANGED_NOTHING):
                    raise
        raise AssertionError("the last try returns or raises")

    def row(self, sql: str, **parameters: Any) -> DictRow | None:
        """The first row of one statement, or None."""
        return next(iter(self.rows(sql, **parameters)), None)

    def _borrow(self) -> Connection:
        """A connection that the server has not ended; costs no round trip.

        A server says nothing to an idle connection unless it ends it. One that was ended is
        seldom alone, so then all idle ones are replaced.
        """
        connection = self._pool.getconn()
        if _has_been_spoken_to(connection):
            connection.close()
            self._pool.putconn(connection)
            self._pool.drain()
            connection = self._pool.getconn()
        return connection

    def _no_connection(self) -> StoreUnavailable:
        """Why the pool has no connection: what the server says to a direct one.

        One thread asks; those that come meanwhile tell what was said last, so that a server in
        trouble is not asked by all at once.
        """
        if not self._asking.acquire(blocking=False):
            return unavailable(self._last_cause) if self._last_cause else self._none_to_spare()
        try:
            psycopg.connect(self._url, connect_timeout=2).close()
            self._last_cause = None
            return self._none_to_spare()
        except psycopg.Error as error:
            self._last_cause = error
            return unavailable(error)
        finally:
            self._asking.release()

    def _none_to_spare(self) -> StoreUnavailable:
        if self._pool.get_stats()["pool_size"] >= self._most:
            return all_in_use(self._most, self._timeout)
        return just_back()

    def _open(self) -> None:
        # A failed first connection must speak for itself, not as a pool timeout later.
        try:
            psycopg.connect(self._url, connect_timeout=5).close()
        except psycopg.OperationalError as error:
            raise unavailable(error) from error
        self._pool.open()


def _options(statement_timeout: float) -> str:
    """What the server is to do for a connection.

    A client that vanishes within a transaction keeps its locks until the server gives it up, which
    by default is hours.
    """
    patience = f"{statement_timeout * 1000:.0f}"
    return (
        f"-c timezone=UTC -c statement_timeout={patience}"
        f" -c idle_in_transaction_session_timeout={patience}"
    )


#: The victim of a deadlock, and a statement whose connection the server has ended, as it tells:
#: both have changed nothing, and the next try mostly finds nobody in its way.
_CHANGED_NOTHING = (pg_errors.DeadlockDetected, pg_errors.AdminShutdown)


def _is_told(error: StoreUnavailable) -> bool:
    """Whether the server has said what is wrong: the connection itself is sound then."""
    return getattr(error.__cause__, "sqlstate", None) is not None


def _has_been_spoken_to(connection: Connection) -> bool:
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (
        pg_errors.UndefinedTable,
        pg_errors.UndefinedColumn,
        pg_errors.UndefinedFunction,
    ) as error:
        raise SchemaOutdated(str(error).splitlines()[0]) from error
    except PoolTimeout:
        raise
    except (
        psycopg.OperationalError,  # also deadlocks and timeouts: repeating helps
        psycopg.InterfaceError,  # the connection was lost before
        pg_errors.ReadOnlySqlTransaction,  # a standby, for a moment after a failover
    ) as error:
        raise unavailable(error) from error
