"""Hints between processes over Redis pub/sub: something has happened, look.

A hint may be lost, so whoever waits for one also looks by itself from time to time.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import redis

Callback = Callable[[str], None]

#: Seconds between tries to be connected again, on average.
PAUSE = 0.5
#: Pings of the connection (redis-py sends one every `health_check_interval` seconds) without an
#: answer, after which it is taken for dead: nothing else would tell, as nothing may be heard for
#: long on one that lives.
MOST_UNANSWERED = 2

log = logging.getLogger("orchestrator.notify")


class Notifier:
    """One connection and one thread that hear all channels this process listens to."""

    def __init__(self, client: redis.Redis) -> None:
        self._pubsub = client.pubsub(ignore_subscribe_messages=True)
        self._callbacks: dict[str, list[Callback]] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = threading.Event()

    def close(self) -> None:
        """Stop listening."""
        self._closed.set()
        # First the connection, so that the thread stops listening at once.
        self._pubsub.close()
        if self._thread is not None:
            self._thread.join(timeout=2)

    @contextmanager
    def listen(self, channels: Sequence[str], callback: Callback) -> Iterator[None]:
        """Call back with each message on these channels, on the notifier's thread."""
        self._add(channels, callback)
        try:
            yield
        finally:
            self._remove(channels, callback)

    @contextmanager
    def bell(self, channels: Sequence[str]) -> Iterator[threading.Event]:
        """An event that is set whenever something is heard on these channels."""
        event = threading.Event()
        with self.listen(channels, lambda _message: event.set()):
            yield event

    def _add(self, channels: Sequence[str], callback: Callback) -> None:
        with self._lock:
            fresh = [channel for channel in channels if channel not in self._callbacks]
            for channel in channels:
                self._callbacks.setdefault(channel, []).append(callback)
            if fresh:
                self._send(self._pubsub.subscribe, fresh)
            if self._thread is None:
                self._thread = threading.Thread(target=self._hear, name="notifier", daemon=True)
                self._thread.start()

    def _remove(self, channels: Sequence[str], callback: Callback) -> None:
        with self._lock:
            silent = []
            for channel in channels:
                self._callbacks[channel].remove(callback)
                if not self._callbacks[channel]:
                    del self._callbacks[channel]
                    silent.append(channel)
            if silent:
                self._send(self._pubsub.unsubscribe, silent)

    def _send(self, command: Callable[..., object], channels: Sequence[str]) -> None:
        # The hearing thread reconnects and subscribes again by itself; until then nothing is
        # heard, which every listener is prepared for.
        try:
            command(*channels)
        except redis.RedisError as error:
            log.warning("notifier.unreachable: %s", error)

    def _hear(self) -> None:
        while not self._closed.is_set():
            try:
                message = self._pubsub.get_message(timeout=0.5)
                self._drop_dead()
            except Exception as error:
                # redis-py raises RuntimeError where it could never subscribe.
                if not self._closed.wait(random.uniform(0, 2 * PAUSE)):
                    log.warning("notifier.unreachable: %s", error)
                    self._subscribe_again()
                continue
            if message is not None and message["type"] == "message":
                self._tell(message["channel"], message["data"])

    def _drop_dead(self) -> None:
        if self._pubsub.health_check_response_counter >= MOST_UNANSWERED:
            self._pubsub.health_check_response_counter = 0
            log.warning("notifier.unreachable: nothing is answered any more")
            if self._pubsub.connection is not None:
                # The next look connects and subscribes again.
                self._pubsub.connection.disconnect()

    def _subscribe_again(self) -> None:
        with self._lock:
            if self._callbacks:
                self._send(self._pubsub.subscribe, list(self._callbacks))

    def _tell(self, channel: str, data: str) -> None:
        for callback in list(self._callbacks.get(channel, ())):
            callback(data)
