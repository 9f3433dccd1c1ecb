"""Connections to Redis: to the server that a URL names, or to whichever sentinels call the primary.

    redis://:password@host:6379/0
    redis+sentinel://:password@host:26379,host:26379/name-of-the-primary/0

The password is that of the servers; sentinels are asked without one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import unquote, urlsplit

import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

SENTINEL = "redis+sentinel"
_PORT = 26_379


@dataclass(frozen=True)
class Sentinels:
    """What a `redis+sentinel://` URL says."""

    hosts: tuple[tuple[str, int], ...]
    primary: str
    database: int
    username: str | None
    password: str | None

    @classmethod
    def of(cls, url: str) -> Self | None:
        """The parts of the URL; None where it names a server itself."""
        if not url.startswith(f"{SENTINEL}://"):
            return None
        parts = urlsplit(url)
        login, _, places = parts.netloc.rpartition("@")
        username, _, password = login.partition(":")
        primary, _, database = parts.path.strip("/").partition("/")
        return cls(
            tuple(_address(place) for place in places.split(",")),
            primary,
            int(database or 0),
            unquote(username) or None,
            unquote(password) or None,
        )


def connect(url: str, timeout: float) -> redis.Redis:
    """A client whose calls end within about `timeout` seconds, whatever the network does."""
    options: dict[str, Any] = {
        "decode_responses": True,
        "socket_timeout": timeout,
        "socket_connect_timeout": min(timeout, 2.0),
        "socket_keepalive": True,
        "health_check_interval": 10,
        # A connection that broke while idle is replaced. Timeouts are not repeated: the caller
        # has waited long enough. All scripts may run twice.
        "retry": Retry(ExponentialBackoff(cap=0.2, base=0.02), 2, (redis.ConnectionError,)),
        "retry_on_error": [redis.ConnectionError],
    }
    sentinels = Sentinels.of(url)
    if sentinels is None:
        return redis.Redis.from_url(url, **options)
    asking = {"socket_timeout": min(timeout, 2.0), "socket_connect_timeout": min(timeout, 2.0)}
    options |= {"username": sentinels.username, "password": sentinels.password}
    client: redis.Redis = Sentinel(sentinels.hosts, sentinel_kwargs=asking).master_for(
        sentinels.primary, redis_class=redis.Redis, db=sentinels.database, **options
    )
    return client


def _address(place: str) -> tuple[str, int]:
    host, _, port = place.rpartition(":")
    return (host, int(port)) if host else (port, _PORT)
