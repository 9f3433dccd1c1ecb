"""Lets faults happen, each on a thread of its own, and notes from when to when."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import redis

from orchestrator.devstack.errors import ServiceFailed
from tests.chaos.house import House, Inmate
from tests.chaos.plan import NETWORKS, Fault
from tests.support.proxy import Proxy

#: Faults under way at once.
AT_ONCE = 8
#: Seconds; a network that is merely slow.
SLOW, JITTER = 0.05, 0.1


@dataclass(frozen=True)
class Suffered:
    """A fault that took place, with the time of the clock when it began and when it was over."""

    fault: Fault
    began: float
    over: float


class Inflictor:
    """Carries out faults."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._threads = ThreadPoolExecutor(AT_ONCE)
        self._begun: list[Future[Suffered]] = []
        #: of each server, and of each road, one thing goes wrong at a time
        self._locks: dict[str, threading.Lock] = {}
        self._guard = threading.Lock()

    def begin(self, fault: Fault) -> None:
        """Let it happen; does not wait for its end."""
        self._begun.append(self._threads.submit(self._suffer, fault))

    def finish(self) -> list[Suffered]:
        """Wait until all are over; raises where one could not take place."""
        self._threads.shutdown(wait=True)
        return [one.result() for one in self._begun]

    def _suffer(self, fault: Fault) -> Suffered:
        with self._lock(fault.victim or fault.kind.partition(" ")[0]):
            began = time.time()
            self._do(fault)
            return Suffered(fault, began, time.time())

    def _lock(self, name: str) -> threading.Lock:
        with self._guard:
            return self._locks.setdefault(name, threading.Lock())

    def _do(self, fault: Fault) -> None:
        if not fault.victim:
            _SERVERS[fault.kind](self._house, fault.lasts)
            return
        victim = self._house.inmate(fault.victim)
        if fault.kind in NETWORKS:
            roads = [victim.redis, victim.database]
            chosen = {"redis": roads[:1], "database": roads[1:], "both": roads}[fault.road]
            _break_roads(chosen, fault)
        else:
            _DEATHS[fault.kind](victim, fault.lasts)


def _break_roads(roads: list[Proxy], fault: Fault) -> None:
    for road in roads:
        if fault.kind == "latency":
            road.latency(SLOW, JITTER)
        else:
            getattr(road, fault.kind)()
    _last(fault.lasts)
    for road in roads:
        road.latency(0.0)
        road.heal()


def _stop(victim: Inmate, lasts: float) -> None:
    victim.send(signal.SIGSTOP)
    _last(lasts)
    victim.send(signal.SIGCONT)


_DEATHS: dict[str, Callable[[Inmate, float], None]] = {
    "kill": lambda victim, _: victim.send(signal.SIGKILL),
    "term": lambda victim, _: victim.send(signal.SIGTERM),
    "stop": _stop,
}


def _flush(house: House, _: float) -> None:
    with redis.Redis.from_url(house.servers.redis_url) as client:
        client.flushall()


def _kill_twice(house: House, _: float) -> None:
    """Once more while it recovers from the first time."""
    database = house.servers.database
    database.kill()
    with contextlib.suppress(ServiceFailed):
        database.launch()
        _last(0.05)
    database.kill()
    database.start()


def _hang_redis(house: House, lasts: float) -> None:
    house.servers.redis.pause()
    _last(lasts)
    house.servers.redis.resume()


def _hang_postgres(house: House, lasts: float) -> None:
    """All of its processes: those of connections are its children."""
    postmaster = house.servers.database.pid
    assert postmaster is not None
    family = [postmaster, *children(postmaster)]
    for pid in family:
        _signal(pid, signal.SIGSTOP)
    _last(lasts)
    for pid in family:
        _signal(pid, signal.SIGCONT)


def children(parent: int) -> list[int]:
    """The processes that a process has started."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            text = path.read_text()
            if int(text.rpartition(")")[2].split()[1]) == parent:
                found.append(int(path.parent.name))
    return found


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


_SERVERS: dict[str, Callable[[House, float], None]] = {
    "redis restart": lambda house, _: house.servers.redis.restart(),
    "redis kill": lambda house, _: house.servers.redis.restart(kill=True),
    "redis wiped": lambda house, _: house.wipe_redis(),
    "redis flushed": _flush,
    "redis hangs": _hang_redis,
    "postgres restart": lambda house, _: house.servers.database.restart(),
    "postgres kill": lambda house, _: house.servers.database.restart(kill=True),
    "postgres killed twice": _kill_twice,
    "postgres hangs": _hang_postgres,
}


def _last(seconds: float) -> None:
    threading.Event().wait(seconds)
