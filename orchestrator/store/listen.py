"""Hearing of what other transactions have committed, by PostgreSQL's LISTEN and NOTIFY."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator

import psycopg

from orchestrator.store.connection import KEEPALIVES, BoundedConnection
from orchestrator.store.database import to_libpq

log = logging.getLogger("orchestrator.listen")

#: Seconds between tries to connect, and between looks whether to go on.
PATIENCE = 1.0
#: Seconds of silence after which the server is asked whether it is there: it has nothing to say
#: to one that listens, so a link that died would look like one on which nothing happens.
SILENCE = 10.0


def notifications(url: str, channel: str, closed: threading.Event) -> Iterator[str]:
    """The payloads on a channel until `closed` is set, reconnecting as long as it takes.

    What is sent while there is no connection is not heard.
    """
    while not closed.is_set():
        try:
            yield from _connected(url, channel, closed)
        except psycopg.OperationalError as error:
            log.warning("listen.disconnected: %s", str(error).strip())
            closed.wait(PATIENCE)


def _connected(url: str, channel: str, closed: threading.Event) -> Iterator[str]:
    with BoundedConnection.connect(
        to_libpq(url), autocommit=True, connect_timeout=5, **KEEPALIVES
    ) as connection:
        connection.answer_within = SILENCE / 2
        connection.execute(f"LISTEN {channel}".encode())
        heard_at = time.monotonic()
        while not closed.is_set():
            for notification in connection.notifies(timeout=PATIENCE):
                heard_at = time.monotonic()
                yield notification.payload
            if time.monotonic() > heard_at + SILENCE:
                connection.execute("SELECT")
                heard_at = time.monotonic()
