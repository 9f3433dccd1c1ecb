"""What agents and bare tasks do alike, in their own worker processes.

A start is measured by the started code itself: its first line takes `time.time()`, and what
lies between the caller's `time.time()` and it is pushed to a Redis list. Caller and worker are
on one machine, so both read one clock.
"""

from __future__ import annotations

import functools
import os
import threading
from collections import Counter

import redis


@functools.cache
def client() -> redis.Redis:
    """This process's own connections to the benchmark's Redis."""
    return redis.Redis.from_url(os.environ["ORCHESTRATOR_REDIS_URL"], decode_responses=True)


def tell(key: str, seconds: float) -> None:
    """Push one measured time for the driver to take."""
    client().rpush(key, repr(seconds))


def occupy(until: str) -> None:
    """Keep a slot, without using the processor, until a token is pushed to the list `until`."""
    client().blpop([until])


_seen: Counter[str] = Counter()
_lock = threading.Lock()


def count(key: str, total: int, now: float) -> None:
    """Count a no-op of a flood. The last of `total` pushes the time it ran at.

    Counted in memory: only one worker runs a flood, and a call to Redis by each no-op would be
    measured with it.
    """
    with _lock:
        _seen[key] += 1
        is_last = _seen[key] == total
    if is_last:
        tell(key, now)
