"""The stack: two durable servers, and processes that reach them through proxies of their own."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from orchestrator.devstack import EmbeddedServers
from orchestrator.devstack.process import Child, Command
from orchestrator.store import migrate
from tests.chaos.agents import LEDGER
from tests.chaos.settings import CONCURRENCY, ENVIRONMENT
from tests.support.processes import ROOT
from tests.support.proxy import Proxy
from tests.support.waiting import wait_until

GATE = "chaos"
#: Seconds after which a process that has ended is started again.
RESTART = 0.3
#: Seconds that the first start may take.
READY = 120.0


class Inmate:
    """One process that is started again whenever it ends, and its roads to the servers."""

    def __init__(self, name: str, command: Sequence[str], house: House) -> None:
        self.name, self._house = name, house
        self.redis = Proxy(house.servers.redis_url)
        self.database = Proxy(house.servers.database_url)
        #: its process ids, and when each began
        self.lives: list[tuple[int, float]] = []
        log = house.folder / "logs" / f"{name}.log"
        self._child = Child(
            Command(name, tuple(command), log, house.folder, env=self._environment())
        )

    @property
    def ready(self) -> Path:
        """There once it has consumed for the first time."""
        return self._house.folder / f"ready-{self.name}"

    @property
    def kind(self) -> str:
        """`worker`, `beat` or `spawner`."""
        return self.name.partition("-")[0]

    def start(self) -> None:
        """Start it, once more."""
        self._child.start()
        assert self._child.pid is not None
        self.lives.append((self._child.pid, time.time()))

    def _environment(self) -> dict[str, str]:
        foreign = ("ORCHESTRATOR_", "PYTHONDONTWRITEBYTECODE")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        servers = self._house.servers
        return (
            kept
            | ENVIRONMENT
            | {
                "PYTHONPATH": str(ROOT),
                "ORCHESTRATOR_GATE": GATE,
                "ORCHESTRATOR_AGENTS": "tests.chaos.agents",
                "ORCHESTRATOR_REDIS_URL": self.redis.through(servers.redis_url),
                "ORCHESTRATOR_DATABASE_URL": self.database.through(servers.database_url),
                "ORCHESTRATOR_READY_FILE": str(self.ready),
                LEDGER: str(self._house.ledger),
            }
        )

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, if it lives."""
        if self._child.alive:
            self._child.send(number)

    @property
    def has_ended(self) -> bool:
        """Whether it is not there now."""
        return not self._child.alive

    def end(self) -> None:
        """Have it end, by force if it does not by itself."""
        self._child.stop()

    def heal(self) -> None:
        """Nothing is wrong with it any more."""
        for proxy in (self.redis, self.database):
            proxy.latency(0.0)
            proxy.heal()
        self.send(signal.SIGCONT)


class House:
    """Everybody, and who starts them again."""

    def __init__(self, folder: Path, servers: EmbeddedServers, seed: int) -> None:
        self.folder, self.servers, self.seed = folder, servers, seed
        #: what agents did, and what spawners were told
        self.ledger = folder / "ledger"
        for one in (self.ledger, folder / "logs"):
            one.mkdir(exist_ok=True)
        self.inmates: list[Inmate] = []
        self.retired: set[str] = set()
        self._starting = threading.Lock()
        self._closed = threading.Event()
        self._supervisor = threading.Thread(target=self._supervise, daemon=True)

    def open(self, workers: int, spawners: int) -> None:
        """Start everybody: workers in two pools, two beats, spawners."""
        program = [sys.executable, "-m", "orchestrator.cli"]
        for number in range(workers):
            pool = "other" if number % 3 == 1 else "default"
            options = ["--pool", pool, "--concurrency", str(CONCURRENCY)]
            self._add(f"worker-{number}", [*program, "worker", *options])
        for number in range(2):
            self._add(f"beat-{number}", [*program, "beat"])
        self._supervisor.start()
        for one in self.inmates:
            wait_until(one.ready.exists, f"{one.name} is ready", READY)
        for number in range(spawners):
            seed = str(self.seed * 100 + number)
            spawner = [sys.executable, "-m", "tests.chaos.spawner", f"spawner-{number}", seed]
            self._add(f"spawner-{number}", [*spawner, str(self.ledger)])

    def _add(self, name: str, command: Sequence[str]) -> None:
        one = Inmate(name, command, self)
        self.inmates.append(one)
        one.start()

    def inmate(self, name: str) -> Inmate:
        """The one of this name."""
        return next(one for one in self.inmates if one.name == name)

    def retire(self, kind: str) -> None:
        """End all of a kind for good."""
        mine = [one for one in self.inmates if one.kind == kind]
        with self._starting:
            self.retired |= {one.name for one in mine}
        for one in mine:
            one.end()

    def heal(self) -> None:
        """Nothing is wrong any more."""
        for server in self.servers.running:
            server.resume()
            server.start()
        for one in self.inmates:
            one.heal()

    def close(self) -> None:
        """End everybody."""
        self._closed.set()
        self._supervisor.join(10)
        for one in self.inmates:
            one.send(signal.SIGKILL)
            one.redis.close()
            one.database.close()

    def wipe_redis(self) -> None:
        """Restart Redis without its data."""
        redis = self.servers.redis
        redis.kill()
        for path in redis.folder.glob("appendonly*"):
            shutil.rmtree(path)
        redis.start()

    def _supervise(self) -> None:
        while not self._closed.wait(RESTART):
            for one in [*self.inmates]:
                with self._starting:
                    if one.has_ended and one.name not in self.retired:
                        one.start()


@contextmanager
def house(folder: Path, seed: int, workers: int, spawners: int) -> Iterator[House]:
    """The stack in this folder, gone afterwards; its logs and ledgers stay."""
    with ExitStack() as stack:
        servers = stack.enter_context(EmbeddedServers(folder / "servers", durable=True))
        migrate.upgrade(servers.database_url)
        found = House(folder, servers, seed)
        stack.callback(found.close)
        found.open(workers, spawners)
        yield found
