"""One connection to PostgreSQL that never waits for ever, whatever the network does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.pq import TransactionStatus
from psycopg.rows import DictRow

T = TypeVar("T")

#: Seconds that an answer may take longer than the server is allowed to work on it.
MARGIN = 2.0

#: How a peer that has vanished is noticed by the kernel: after 5 + 3 * 2 seconds of silence.
KEEPALIVES: dict[str, Any] = {"keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3}


class NoAnswer(psycopg.OperationalError):
    """The server has said nothing for too long."""


class BoundedConnection(psycopg.Connection[DictRow]):
    """Gives up after `answer_within` seconds without an answer to a statement.

    The server ends a statement itself after its `statement_timeout`. One that is stopped or cut
    off says nothing, and its kernel or a proxy may well acknowledge all that is sent to it. Such
    a connection is closed: an answer to the last statement must not be taken for the next one's.
    """

    answer_within = 12.0

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        """The generator's result; `NoAnswer` where it does not come in time."""
        limit = self.answer_within if timeout is None else timeout
        try:
            return super().wait(gen, interval, limit)
        except psycopg.OperationalError as error:
            if self.pgconn.transaction_status != TransactionStatus.ACTIVE:
                raise
            self.pgconn.finish()
            raise NoAnswer(f"no answer within {limit:g} s") from error


def bounded(seconds: float) -> Callable[[psycopg.Connection[Any]], None]:
    """Configures connections of a pool to wait so long."""

    def configure(connection: psycopg.Connection[Any]) -> None:
        assert isinstance(connection, BoundedConnection)
        connection.answer_within = seconds

    return configure
