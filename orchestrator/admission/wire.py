"""Script calls with as little as possible between a verb and the socket.

redis-py's client spends more time around a command (its pool's bookkeeping, observers, retry
wrappers, encoding) than the server spends in a script. This keeps its connections, which know
how to log in, reconnect, time out and check their health, and does the rest itself.
"""

from __future__ import annotations

import functools
import os
from collections import deque
from collections.abc import Sequence
from typing import Any

import redis
from redis.connection import ConnectionInterface


class Wire:
    """Calls scripts over connections of its own. Safe to share between threads."""

    def __init__(self, client: redis.Redis) -> None:
        self._pool = client.connection_pool
        self._idle: deque[ConnectionInterface] = deque()
        self._pid = os.getpid()

    def close(self) -> None:
        """Close all idle connections."""
        while True:
            try:
                self._idle.pop().disconnect()
            except IndexError:  # another thread may be at it too
                return

    def call_many(self, commands: Sequence[bytes]) -> list[Any]:
        """Send several in one round trip; a reply that is an error is raised after all are read."""
        connection = self._take()
        try:
            try:
                replies = _exchange(connection, commands)
            except redis.ConnectionError:
                # The connection may have broken while it was idle; every script may run twice.
                connection.connect()
                replies = _exchange(connection, commands)
        except BaseException:
            # Also when a thread is interrupted: the next user must not read this one's reply.
            connection.disconnect()
            raise
        self._idle.append(connection)
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        return replies

    def _take(self) -> ConnectionInterface:
        if self._pid != os.getpid():  # a forked child must not share its parent's sockets
            self._idle, self._pid = deque(), os.getpid()
        try:
            return self._idle.pop()
        except IndexError:
            # Not by the pool's own maker: it counts what it makes and never counts down.
            made: ConnectionInterface = self._pool.connection_class(**self._pool.connection_kwargs)
            # Not left to the first command: only this asks sentinels where the primary is.
            made.connect()
            return made


def _exchange(connection: ConnectionInterface, commands: Sequence[bytes]) -> list[Any]:
    connection.send_packed_command(commands)
    return [_read(connection) for _ in commands]


def _read(connection: ConnectionInterface) -> Any:
    try:
        return connection.read_response()
    except redis.ResponseError as error:
        return error


@functools.cache
def pack_head(*words: str) -> bytes:
    """The first words of a command, packed once."""
    return b"".join(_bulk(word) for word in words)


def pack(head: bytes, words_in_head: int, arguments: Sequence[object]) -> bytes:
    """A whole command in the Redis protocol (RESP, arrays of bulk strings)."""
    parts = [b"*%d\r\n" % (words_in_head + len(arguments)), head]
    parts += [_bulk(argument) for argument in arguments]
    return b"".join(parts)


def _bulk(value: object) -> bytes:
    data = str(value).encode()
    return b"$%d\r\n%b\r\n" % (len(data), data)
