"""All of durable agents: every case by every system, in turns."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.durable.cases import CASES, PATIENCE, Other, Ours, fresh, taken
from benchmarks.durable.plan import DurablePlan
from benchmarks.gate import peers
from benchmarks.samples import Samples, in_turns
from benchmarks.stage import Stage
from orchestrator import SpawnRequest, State
from orchestrator.devstack.process import Command
from orchestrator.devstack.programs import Surroundings
from orchestrator.devstack.service import Service

Say = Callable[[str], object]
System = Ours | Other

#: Each system's program and words, and the peer it needs. `{url}` is a database of its own.
_OTHERS = {
    "dbos-direct": ("on_dbos", ("direct", "{url}"), "dbos"),
    "dbos-queued": ("on_dbos", ("queued", "{url}"), "dbos"),
    "procrastinate": ("on_procrastinate", ("{url}",), "procrastinate"),
    "celery": ("on_celery", (), ""),
}


def measure(stage: Stage, samples: Samples, say: Say) -> None:
    """Fill the series `durable.<case>.<system>` and what 10,000 that wait cost."""
    peers.find()
    plan = stage.plan.durable
    with contextlib.ExitStack() as opened:
        others = [
            opened.enter_context(_other(stage, name, plan))
            for name, (_, _, peer) in _OTHERS.items()
            if peer not in peers.missing()
        ]
        run(stage, samples, say, [Ours(stage, plan), *others])
    say(f"{plan.waiting:,} wait")
    many_waiting(stage, samples, plan)


def run(stage: Stage, samples: Samples, say: Say, systems: list[System]) -> None:
    """Every case by every system."""
    for system in systems:
        _round(system, "noop", Samples())  # the first calls connect and fill caches
    for case in CASES:
        if case != "resumed":
            say(f"durable: {CASES[case]}")
            for system in in_turns(systems, stage.plan.durable.rounds):
                _round(system, case, samples)


def _round(system: System, case: str, samples: Samples) -> None:
    found = system.run(case)
    if found is None:
        return
    samples.add(f"durable.{case}.{system.name}", found)
    if case == "child":
        samples.add(f"durable.resumed.{system.name}", system.resumed())


def many_waiting(stage: Stage, samples: Samples, plan: DurablePlan) -> None:
    """Many wait at once in one worker: seconds until all do, and what the worker is then."""
    session, began = fresh("waiting")[-36:], time.time()
    args = {"key": "nobody", "seconds": 36_000.0, "total": 0}
    requests = [SpawnRequest("durable-doze", args, session=session)] * plan.waiting
    for start in range(0, plan.waiting, 500):
        stage.orchestrator.spawn_many(requests[start : start + 500])
    while stage.deps.store.count_by_state(session).get(State.WAITING, 0) < plan.waiting:
        if time.time() > began + PATIENCE:
            raise RuntimeError("not all wait; see the worker's log")
        time.sleep(0.05)
    samples.note("durable.waiting", plan.waiting)
    samples.note("durable.waiting.seconds", time.time() - began)
    key = fresh("self")
    stage.orchestrator.spawn("durable-self", {"key": key})
    samples.note("durable.waiting.mib", taken(stage.redis, f"{key}:mib"))
    samples.note("durable.waiting.threads", taken(stage.redis, f"{key}:threads"))


@contextlib.contextmanager
def _other(stage: Stage, name: str, plan: DurablePlan) -> Iterator[Other]:
    program, words, _ = _OTHERS[name]
    database = f"bench_{name.replace('-', '_')}"
    stage.database.execute(f"CREATE DATABASE {database}".encode())
    info = stage.database.info
    url = f"postgresql://{info.user}:{info.password}@{info.host}:{info.port}/{database}"
    arguments = [word.format(url=url) for word in words]
    service = _Program(name, stage.surroundings, program, *arguments)
    try:
        service.start()
        yield Other(name, stage.redis, plan)
    finally:
        service.stop()


class _Program(Service):
    """A program of this package that says when it is ready."""

    ready_s = 60.0

    def __init__(self, name: str, surroundings: Surroundings, module: str, *arguments: str) -> None:
        super().__init__(name)
        self._surroundings, self._module, self._arguments = surroundings, module, arguments
        self._ready_file = Path(surroundings.state_dir) / "run" / f"{name}.ready"

    def _command(self) -> Command:
        return self._surroundings.command(
            self.name,
            (f"benchmarks.durable.{self._module}",),
            *self._arguments,
            ORCHESTRATOR_READY_FILE=str(self._ready_file),
        )

    def _answers(self) -> bool:
        return self._ready_file.exists()
