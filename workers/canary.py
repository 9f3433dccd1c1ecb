"""Notices that a worker's consumer reads no more, though broker and slots are there.

After some reconnects a consumer of Celery holds a connection on which nothing comes any more, and
says nothing. So each worker sends itself a small message every few seconds, on a queue of its own
that the same consumer reads. While slots are free and messages can be sent, none of them being
read means that the consumer is silent: it is made to reconnect, and if that does not help, the
process exits, for its supervisor to start it again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from orchestrator.telemetry.logging import get_logger

log = get_logger("orchestrator.canary")

TASK = "orchestrator.canary"
#: The exit code of a worker that read nothing more, also after it had reconnected.
SILENT = 5
#: Periods of silence after which something is done.
PATIENCE = 3


class Canary:
    """Sends and waits, on a thread of its own."""

    #: the one of this process; its task reports to it
    current: Canary | None = None

    def __init__(
        self,
        every: float,
        send: Callable[[], None],
        has_room: Callable[[], bool],
        reconnect: Callable[[], None],
        give_up: Callable[[], None],
    ) -> None:
        self._every, self._send, self._has_room = every, send, has_room
        self._reconnect, self._give_up = reconnect, give_up
        #: since when nothing was heard that should have been
        self._silent_since = time.monotonic()
        self._has_reconnected = False
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="canary", daemon=True)
        Canary.current = self

    def start(self) -> None:
        """Begin to send."""
        self._excuse()
        self._thread.start()

    def close(self) -> None:
        """The worker stops: it is to be silent."""
        self._closed.set()

    def hear(self) -> None:
        """A message was read."""
        if self._has_reconnected:
            log.info("consumer.recovered")
        self._has_reconnected = False
        self._excuse()

    @property
    def is_silent(self) -> bool:
        """Whether nothing was read for too long."""
        return time.monotonic() > self._silent_since + PATIENCE * self._every

    def _excuse(self) -> None:
        """From now on the silence counts."""
        self._silent_since = time.monotonic()

    def _watch(self) -> None:
        while not self._closed.wait(self._every):
            self.look()

    def look(self) -> None:
        """Send one; do something about a silence that lasts."""
        try:
            self._send()
        except Exception as error:
            # The broker is away, which the consumer will notice by itself.
            log.warning("canary.not_sent", error=type(error).__name__)
            self._excuse()
            return
        if not self._has_room():
            self._excuse()
        elif self.is_silent:
            self._break_silence()

    def _break_silence(self) -> None:
        if self._has_reconnected:
            log.error("consumer.silent", exit_code=SILENT)
            self._give_up()
            return
        log.error("consumer.silent", seconds=round(time.monotonic() - self._silent_since, 1))
        self._has_reconnected = True
        self._excuse()
        self._reconnect()
