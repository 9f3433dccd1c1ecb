"""A worker dies at each of the fault points: in several pools at once, in each one by one."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from orchestrator import Handle, Orchestrator, SpawnRequest
from orchestrator.config.settings import Settings
from orchestrator.engine.fault_points import POINTS, VARIABLE
from tests.rules.evidence import Evidence, read_ledger, read_store
from tests.support.processes import Program, programs
from tests.support.waiting import wait_until

AGENTS = "tests.crash.agents"
#: Trees for each point, and pools at once.
TREES = 2
AT_ONCE = 4
#: Seconds within which all must be over after a death.
PATIENCE = 60.0
#: Short, so that deaths are noticed soon.
TIMES = {
    "ORCHESTRATOR_HEARTBEAT": "0.3",
    "ORCHESTRATOR_LEASE": "1.2",
    "ORCHESTRATOR_DISPATCH_TIMEOUT": "1.5",
    "ORCHESTRATOR_SWEEP_EVERY": "0.3",
    "ORCHESTRATOR_RECONCILE_EVERY": "1",
    # Everything fails here once; no session is to give up for that.
    "ORCHESTRATOR_RETRY_BUDGET_FLOOR": "1000",
}


@dataclass(frozen=True)
class Aftermath:
    """What is left once everything around one death is over."""

    point: str
    #: how the worker ended
    exit_code: int
    #: seconds from the death until the last tree had ended
    took: float
    results: Sequence[object]
    #: the rows and actions of its trees
    evidence: Evidence


def run(settings: Settings, orchestrator: Orchestrator, folder: Path) -> dict[str, Aftermath]:
    """Let a worker die at every point; answers what was left of it."""
    points = list(POINTS)
    with programs(settings, folder) as house:
        house.beat(**TIMES)
        with ThreadPoolExecutor(AT_ONCE) as threads:
            found = threads.map(
                lambda number: _Chain(settings, orchestrator, folder / f"chain-{number}").run(
                    points[number::AT_ONCE]
                ),
                range(AT_ONCE),
            )
            return {one.point: one for chain in found for one in chain}


class _Chain:
    """One death after the other in one pool: who goes on after the first dies next."""

    def __init__(self, settings: Settings, orchestrator: Orchestrator, folder: Path) -> None:
        self._settings, self._orchestrator, self._folder = settings, orchestrator, folder
        self._pool = folder.name
        folder.mkdir()

    def run(self, points: Sequence[str]) -> list[Aftermath]:
        """Die at each of the points."""
        with programs(self._settings, self._folder) as started:
            self._started = started
            worker = self._worker(points[0])
            found = []
            for point, following in zip(points, [*points[1:], ""], strict=True):
                handles = self._arm(point)
                wait_until(lambda: worker.process.poll() is not None, f"dead by {point}", PATIENCE)  # noqa: B023  # called at once
                code, died = worker.process.wait(), time.monotonic()
                worker = self._worker(following)
                results = [handle.result(timeout=PATIENCE) for handle in handles]
                took = time.monotonic() - died
                found.append(self._look(point, code, took, results))
            return found

    def _worker(self, point: str) -> Program:
        """A worker that dies at a point as soon as that is armed."""
        fault = {VARIABLE: f"{point}:{self._folder / point / 'dead'}"} if point else {}
        # Alone, so that no neighbour dies between an action and its record.
        threads = "1" if point.startswith("step.") else "4"
        words = ("--pool", self._pool, "--concurrency", threads)
        return self._started.worker(*words, agents=AGENTS, **TIMES, **fault)

    def _arm(self, point: str) -> list[Handle]:
        own = self._folder / point
        own.mkdir()
        args = {"ledger": str(own / "ledger"), "pool": self._pool}
        request = SpawnRequest("crash-root", args, pool=self._pool, session=point)
        return self._orchestrator.spawn_many([request] * TREES)

    def _look(self, point: str, code: int, took: float, results: Sequence[object]) -> Aftermath:
        effects = read_ledger(self._folder / point / "ledger")
        instances, events, steps = read_store(str(self._settings.database_url), [point])
        # Others of the matrix are under way.
        mine = {row["id"] for row in instances if row["session"] == point}
        evidence = Evidence(
            [row for row in instances if row["id"] in mine],
            [row for row in events if row["instance_id"] in mine],
            [row for row in steps if row["instance_id"] in mine],
            effects=effects,
        )
        return Aftermath(point, code, took, results, evidence)
