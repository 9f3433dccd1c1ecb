"""Hearing of what other transactions have committed, by PostgreSQL's LISTEN and NOTIFY."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator

import psycopg

from orchestrator.store.database import to_libpq

log = logging.getLogger("orchestrator.listen")

#: Seconds between tries to connect, and between looks whether to go on.
PATIENCE = 1.0


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
    with psycopg.connect(to_libpq(url), autocommit=True, connect_timeout=5) as connection:
        connection.execute(f"LISTEN {channel}".encode())
        while not closed.is_set():
            for notification in connection.notifies(timeout=PATIENCE):
                yield notification.payload
