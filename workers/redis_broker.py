"""kombu's Redis transport with two corrections.

A channel that lost its connection is asked for connection parameters once more while a worker
reconnects, and kombu 5.7 then fails for want of the connection: the worker stops consuming.
Keeping the parameters cures it. And no message is ever restored: PostgreSQL knows what has to
run, so what a dying worker had read is brought back by its lease, under a new attempt.
"""

from __future__ import annotations

from typing import Any

from kombu.transport import redis


class Channel(redis.Channel):
    """Remembers how to connect; restores nothing."""

    do_restore = False

    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:
        known: dict[bool, dict[str, Any]] = self.__dict__.setdefault("_known_parameters", {})
        if self.connection is not None and self.connection.client is not None:
            known[asynchronous] = super()._connparams(asynchronous)
        return dict(known[asynchronous])


class Transport(redis.Transport):
    """kombu's Redis transport over such channels."""

    Channel = Channel
