"""kombu's Redis transport with three corrections.

A channel that lost its connection is asked for connection parameters once more while a worker
reconnects, and kombu 5.7 then fails for want of the connection: the worker stops consuming.
Keeping the parameters cures it. And no message is ever restored: PostgreSQL knows what has to
run, so what a dying worker had read is brought back by its lease, under a new attempt. Last, a
client is made once for each connection pool, where kombu makes one for each message it sends.
"""

from __future__ import annotations

from typing import Any

from kombu.transport import redis


class _Corrected:
    """Remembers how to connect and its clients; restores nothing."""

    connection: Any
    pool: Any
    async_pool: Any
    do_restore = False

    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:
        known: dict[bool, dict[str, Any]] = self.__dict__.setdefault("_known_parameters", {})
        if self.connection is not None and self.connection.client is not None:
            known[asynchronous] = super()._connparams(asynchronous)  # type: ignore[misc]  # of the channel it is mixed into
        return dict(known[asynchronous])

    def _create_client(self, asynchronous: bool = False) -> Any:
        pool = self.async_pool if asynchronous else self.pool
        clients: dict[bool, tuple[Any, Any]] = self.__dict__.setdefault("_known_clients", {})
        known_pool, client = clients.get(asynchronous, (None, None))
        if known_pool is not pool:
            client = super()._create_client(asynchronous)  # type: ignore[misc]  # the same
            clients[asynchronous] = (pool, client)
        return client


class Channel(_Corrected, redis.Channel):
    """A channel to the server that the URL names."""


class SentinelChannel(_Corrected, redis.SentinelChannel):
    """A channel to the server that sentinels call the primary."""


class Transport(redis.Transport):
    """kombu's Redis transport over such channels."""

    Channel = Channel


class SentinelTransport(redis.SentinelTransport):
    """kombu's Sentinel transport over such channels."""

    Channel = SentinelChannel
