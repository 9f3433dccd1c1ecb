"""The libraries that one would otherwise use, each as its documentation says.

All share one redis-py client with the C parser. Where there is a choice, the cheapest way is
taken: `limits` with fixed windows, breakers that are closed, semaphores and locks that are free.

`make bench` puts them into `.venv/peers`, apart from everything else, with the redis-py of this
system. `tasktiger` and `throttled-py` do not claim to work with it yet: the few calls made here
are plain commands, and do.
"""

from __future__ import annotations

import importlib
import importlib.util
import site
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import redis

_MODULES = {
    "limits": "limits",
    "throttled-py": "throttled",
    "pybreaker": "pybreaker",
    "tasktiger": "tasktiger",
    "dbos": "dbos",
    "procrastinate": "procrastinate",
}
#: Seconds that whatever is taken may be held.
_HOLD = 600

#: One use of a library: takes a name that no other call has.
Use = Callable[[str], object]


def find() -> None:
    """Make the peers importable where `make bench` has installed them."""
    folder = Path(sys.prefix) / "peers"
    if folder.is_dir():
        site.addsitedir(str(folder))


def missing() -> list[str]:
    """Those that are not installed here."""
    return [name for name, module in _MODULES.items() if not importlib.util.find_spec(module)]


def versions() -> dict[str, str]:
    """Of those that are here."""
    absent = missing()
    return {f"peer {name}": version(name) for name in _MODULES if name not in absent}


def uses(client: redis.Redis, url: str) -> dict[str, Use]:
    """How each peer takes what it guards, and gives back what must be given back."""
    absent = missing()
    makers: dict[str, Callable[[redis.Redis, str], Use]] = {
        "limits": _limits,
        "throttled-py": _throttled,
        "pybreaker": _pybreaker,
        "tasktiger": _semaphore_pair,
    }
    found = {name: make(client, url) for name, make in makers.items() if name not in absent}
    return found | {"redis-py": _lock(client)}


def _limits(client: redis.Redis, url: str) -> Use:
    """A fixed window, the cheapest of its strategies."""
    return window(url, "requests")


def window(url: str, what: str) -> Use:
    """A limit of `limits` on something."""
    limits: Any = importlib.import_module("limits")
    strategy = limits.strategies.FixedWindowRateLimiter(limits.storage.storage_from_string(url))
    many = limits.RateLimitItemPerMinute(1_000_000_000)
    return lambda _: _must(strategy.hit(many, what))


def _throttled(client: redis.Redis, url: str) -> Use:
    """A token bucket."""
    throttled: Any = importlib.import_module("throttled")
    bucket = throttled.Throttled(
        key="requests",
        using="token_bucket",
        quota=throttled.rate_limiter.per_min(1_000_000_000),
        store=throttled.RedisStore(server=url),
    )
    return lambda _: _must(not bucket.limit().limited)


def _pybreaker(client: redis.Redis, url: str) -> Use:
    return breaker(client)


def breaker(client: redis.Redis) -> Use:
    """A call of nothing through a closed breaker of `pybreaker` that is shared through Redis."""
    pybreaker: Any = importlib.import_module("pybreaker")
    storage = pybreaker.CircuitRedisStorage(pybreaker.STATE_CLOSED, client, namespace="benchmark")
    guard = pybreaker.CircuitBreaker(fail_max=5, reset_timeout=30, state_storage=storage)
    return lambda _: guard.call(_nothing)


def _semaphore_pair(client: redis.Redis, url: str) -> Use:
    take, give_back = semaphore(client, "all")

    def both(name: str) -> None:
        take(name)
        give_back(name)

    return both


def semaphore(client: redis.Redis, what: str) -> tuple[Use, Use]:
    """Take and give back one place of a semaphore of `tasktiger`."""
    tasktiger: Any = importlib.import_module("tasktiger.redis_semaphore")
    # Made once: its constructor reads its script from a file.
    one = tasktiger.Semaphore(client, f"semaphore:{what}", "", _HOLD, 1_000_000_000)

    def take(name: str) -> None:
        one.lock_id = name
        _must(one.acquire()[0])

    def give_back(name: str) -> None:
        one.lock_id = name
        one.release()

    return take, give_back


def _lock(client: redis.Redis) -> Use:
    """Taken and given back."""

    def pair(name: str) -> None:
        with client.lock(f"lock:{name}", timeout=_HOLD):
            pass

    return pair


def _nothing() -> None:
    """What is guarded."""


def _must(allowed: bool) -> None:
    if not allowed:
        raise RuntimeError("a peer refused what is far below its limit")
