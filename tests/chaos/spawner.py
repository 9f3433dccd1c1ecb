"""A service under fire: `python -m tests.chaos.spawner name seed folder`.

It spawns trees, a few at a time, and writes down with fsync what it was told: that a spawn is
accepted, or that it is refused. One whose call raised may exist or not: it is repeated under its
key until it is accepted.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from orchestrator import (
    Handle,
    Orchestrator,
    OrchestratorError,
    ResultPending,
    SpawnRefused,
    Unavailable,
)
from tests.chaos.shapes import TENANTS, Shape, shape

T = TypeVar("T")

#: Trees under way at once.
THREADS = 6
#: Seconds after which it turns to the next tree.
PATIENCE = 15.0
#: What a request says besides its agent and arguments.
OPTIONS = (
    *("session", "tenant", "priority", "idempotency_key", "on_limit", "pool", "not_before"),
    "budget",
)


class Told:
    """What was answered, in a file that survives everybody."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY)

    def write(self, what: str, **fields: Any) -> None:
        """One line, on the disk when this returns."""
        os.write(self._file, (json.dumps({"is": what} | fields) + "\n").encode())
        os.fsync(self._file)


class Spawner:
    """Spawns until told to stop."""

    def __init__(self, name: str, seed: int, folder: Path, stop: threading.Event) -> None:
        self._name, self._seed, self._stop = name, seed, stop
        self._told = Told(folder / f"told-{name}-{os.getpid()}")
        self._orchestrator = Orchestrator.from_settings()

    def run(self) -> None:
        """Keep some trees under way at all times."""
        threads = [threading.Thread(target=self._spawn_on, args=(n,)) for n in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _spawn_on(self, thread: int) -> None:
        rng = random.Random(f"{self._seed} {thread}")
        number = 0
        while not self._stop.is_set():
            number += 1
            key = f"{self._name}-{os.getpid()}-{thread}-{number}"
            one = shape(rng)
            request = replace(
                one.request,
                # A few trees share a session, so that its limit matters.
                session=f"{self._name}-{os.getpid()}-{thread // 2}-{number // 4}",
                tenant=TENANTS[thread // 2 % len(TENANTS)],
                idempotency_key=key,
            )
            handle = self._accepted(replace(one, request=request))
            if handle is not None:
                self._follow(one, handle, rng)

    def _accepted(self, one: Shape) -> Handle | None:
        request = one.request
        options = {name: getattr(request, name) for name in OPTIONS}
        try:
            handle = self._insist(
                lambda: self._orchestrator.spawn(request.agent, request.args, **options)
            )
        except SpawnRefused as refused:
            self._told.write(
                "refused", tenant=request.tenant, key=request.idempotency_key, code=refused.code
            )
            return None
        if handle is not None:
            self._told.write("accepted", instance=handle.id, result=_text(one))
        return handle

    def _follow(self, one: Shape, handle: Handle, rng: random.Random) -> None:
        if one.then == "signal":
            self._insist(lambda: handle.signal("go", 1))
        if one.then == "cancel":
            self._stop.wait(rng.uniform(0.0, 3.0))
            self._insist(handle.cancel)
            return
        try:
            handle.result(timeout=PATIENCE)
        except (ResultPending, OrchestratorError):
            return

    def _insist(self, action: Callable[[], T]) -> T | None:
        """Repeat it until the servers are there; None when told to stop meanwhile."""
        while True:
            try:
                return action()
            except Unavailable:
                if self._stop.wait(0.2):
                    return None
            except SpawnRefused:
                raise
            except OrchestratorError:
                # It has ended by now, and cannot be spoken to.
                return None


def _text(one: Shape) -> str | None:
    return None if one.result is None else json.dumps(one.result)


def main(name: str, seed: str, folder: str) -> None:
    """Spawn until SIGTERM."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    spawner = Spawner(name, int(seed), Path(folder), stop)
    ready = os.environ.get("ORCHESTRATOR_READY_FILE")
    if ready:
        Path(ready).touch()
    spawner.run()


if __name__ == "__main__":
    main(*sys.argv[1:4])
