"""A thread that settles the endings which dead workers have left behind on this machine."""

from __future__ import annotations

import random
import threading
from pathlib import Path
from typing import NamedTuple

from orchestrator.domain.errors import OrchestratorError
from orchestrator.domain.lifecycle import State
from orchestrator.engine.deps import Deps
from orchestrator.engine.execute import finish
from orchestrator.engine.running import Run
from orchestrator.telemetry.logging import get_logger
from workers.shelf import Seal, Shelved, abandoned, folder_in

log = get_logger("orchestrator.inheritance")


class Settled(NamedTuple):
    """What became of the endings that were found."""

    settled: int
    #: of attempts that somebody else has taken over, or that were ended meanwhile
    dropped: int


def run_once(deps: Deps, folder: Path, seal: Seal | None = None) -> Settled:
    """Settle what is in the files of dead processes, one after the other.

    Raises `Unavailable` where PostgreSQL is away; everything stays where it is then.
    """
    settled = dropped = 0
    for path in sorted(folder.glob("*.jsonl")):
        with abandoned(path, seal) as found:
            for one in found or ():
                if _settle(deps, one):
                    settled += 1
                else:
                    dropped += 1
    return Settled(settled, dropped)


def _settle(deps: Deps, one: Shelved) -> bool:
    row = deps.store.get(one.instance_id)
    if row is None or row.attempt != one.attempt or row.state is not State.RUNNING:
        # Somebody has taken over since, or it was ended.
        log.warning("ending.dropped", instance=one.instance_id, attempt=one.attempt)
        return False
    finish(deps, Run(row), one.outcome)
    log.info("ending.settled", instance=one.instance_id, attempt=one.attempt)
    return True


class Inheritance:
    """Looks for what was left behind, at once and then every `period` seconds."""

    def __init__(
        self, deps: Deps, state_dir: Path, period: float, seal: Seal | None = None
    ) -> None:
        self._deps, self._folder, self._period = deps, folder_in(state_dir), period
        self._seal = seal
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._look, name="inheritance", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def close(self) -> None:
        """Look no more."""
        self._closed.set()

    def _look(self) -> None:
        while not self._closed.is_set():
            try:
                run_once(self._deps, self._folder, self._seal)
            except OrchestratorError as error:
                log.warning("inheritance.failed", error=error.code)
            except Exception:
                log.exception("inheritance.failed")
            # Not all workers of a machine at once.
            self._closed.wait(self._period * random.uniform(0.5, 1.5))
