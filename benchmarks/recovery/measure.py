"""Kills, cancels, empties, and reads off how long what followed took."""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psycopg

from benchmarks.disk import real_disk
from benchmarks.recovery.agents import MORTAL
from benchmarks.recovery.plan import RecoveryPlan
from benchmarks.samples import Samples
from benchmarks.stage import forget_settings, plenty
from orchestrator import Orchestrator, Settings, bootstrap
from orchestrator.devstack import Stack, StackOptions
from orchestrator.devstack.programs import environment
from orchestrator.engine.deps import Deps
from orchestrator.store.database import to_libpq

Say = Callable[[str], object]

AGENTS = "benchmarks.recovery.agents"
#: Seconds after which the benchmark has failed.
PATIENCE = 600.0

_FIRST = """
SELECT extract(epoch FROM min(at))::float8 FROM events
WHERE instance_id = %(id)s AND reason IS NOT DISTINCT FROM %(reason)s AND to_state = %(state)s
  AND attempt >= %(attempt)s
"""
_STOPPED = """
SELECT extract(epoch FROM at)::float8 FROM events
WHERE kind = 'stopped' AND instance_id IN (SELECT id FROM instances WHERE root_id = %(id)s)
"""
_RUNNING = "SELECT count(*) FROM instances WHERE root_id = %(id)s AND state = 'running'"


@dataclass(frozen=True)
class Place:
    """A system with the default times, and where its audit trail can be read."""

    plan: RecoveryPlan
    orchestrator: Orchestrator
    deps: Deps
    database: psycopg.Connection
    folder: Path
    env: dict[str, str]

    def ask(self, sql: str, **values: object) -> list[float]:
        """The first column of all rows."""
        return [row[0] for row in self.database.execute(sql.encode(), values) if row[0] is not None]


def measure(plan: RecoveryPlan, samples: Samples, say: Say) -> None:
    """Fill the series `recovery.*`."""
    with _place(plan, say) as place:
        say(f"{plan.workers} workers are killed")
        _kill(place, samples)
        say(f"{plan.trees} trees are cancelled")
        for _ in range(plan.trees):
            _cancel(place, samples)
        say(f"Redis is emptied {plan.losses} times")
        samples.add("recovery.emptied", [_empty(place) for _ in range(plan.losses)])


@contextlib.contextmanager
def _place(plan: RecoveryPlan, say: Say) -> Iterator[Place]:
    forget_settings()
    with (
        tempfile.TemporaryDirectory(prefix="orchestrator-bench-", dir=real_disk()) as name,
        contextlib.ExitStack() as opened,
    ):
        folder = Path(name)
        folder.chmod(0o711)
        options = StackOptions(
            folder, concurrency=1_200, agents=(AGENTS,), flower=False, env=plenty()
        )

        def tell(name: str, detail: str) -> None:
            say(f"{name} {detail}")

        stack = opened.enter_context(Stack(options, tell))
        env = environment(folder, stack.redis_url, stack.database_url, plenty())
        settings = Settings.load(redis_url=stack.redis_url, database_url=stack.database_url)
        deps = bootstrap.build(settings)
        orchestrator = opened.enter_context(Orchestrator(deps))
        database = psycopg.connect(to_libpq(stack.database_url), autocommit=True)
        yield Place(plan, orchestrator, deps, opened.enter_context(database), folder, env)


def _kill(place: Place, samples: Samples) -> None:
    """Kill workers one after the other while each runs an instance and the top of a tree."""
    plan, pids = place.plan, place.folder / "pids"
    pids.mkdir()
    args = {"folder": str(pids)}
    with _workers(place, plan.workers, 2) as mortal:
        holds = [place.orchestrator.spawn("recovery-hold", args).id for _ in mortal]
        roots = [place.orchestrator.spawn("recovery-root", args).id for _ in mortal]
        _until(lambda: all((pids / one).exists() for one in [*holds, *roots]))
        _until(lambda: all(place.ask(_RUNNING, id=one) == [3] for one in roots))
        with _workers(place, 1, 2 * plan.workers):
            with ThreadPoolExecutor(1) as threads:
                watched = threads.submit(_watch, place, holds)
                died = _one_by_one(mortal, plan.within)
                freed = watched.result()
            _until(lambda: place.deps.gate.held() == 0)
    samples.note("recovery.leaked", place.deps.gate.held())
    noticed, queued, begun, ended = [], [], [], []
    for one in holds:
        at = died[int((pids / one).read_text())]
        [gone] = place.ask(_FIRST, id=one, reason="LEASE_EXPIRED", state="queued", attempt=1)
        [again] = place.ask(_FIRST, id=one, reason=None, state="running", attempt=2)
        noticed.append(freed[one] - at)
        queued.append(gone - at)
        begun.append(again - at)
    for one in roots:
        at = died[int((pids / one).read_text())]
        ended.append(max(place.ask(_STOPPED, id=one)) - at)
    for name, taken in zip(
        ("noticed", "queued", "begun", "orphans"), (noticed, queued, begun, ended), strict=True
    ):
        samples.add(f"recovery.{name}", taken)


def _watch(place: Place, ids: list[str]) -> dict[str, float]:
    """When the gate took its slot back from each."""
    freed: dict[str, float] = {}

    def look() -> bool:
        for one in ids:
            if one not in freed:
                there = place.deps.gate.glance(one)
                if there.place != "dispatched" or there.attempt > 1:
                    freed[one] = time.time()
        return len(freed) == len(ids)

    _until(look)
    return freed


def _one_by_one(workers: list[subprocess.Popen[bytes]], within: float) -> dict[int, float]:
    """Kill all at moments that have nothing to do with one another; answers when by pid."""
    died = {}
    due = sorted((random.uniform(0, within), number) for number in range(len(workers)))
    began = time.time()
    for moment, number in due:
        time.sleep(max(0.0, began + moment - time.time()))
        died[workers[number].pid] = time.time()
        workers[number].kill()
    return died


@contextlib.contextmanager
def _workers(place: Place, count: int, threads: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Worker processes of the mortal pool, all of them ready."""
    words = ("worker", "--agents", AGENTS, "--pool", MORTAL, "--concurrency", str(threads))
    ready = [place.folder / f"ready-{threads}-{number}" for number in range(count)]
    with contextlib.ExitStack() as opened:
        started = []
        for path in ready:
            log = opened.enter_context(path.with_suffix(".log").open("wb"))
            started.append(
                subprocess.Popen(
                    [sys.executable, "-m", "orchestrator.cli", *words],
                    env=place.env | {"ORCHESTRATOR_READY_FILE": str(path)},
                    stdout=log,
                    stderr=log,
                )
            )
            opened.callback(started[-1].wait)
            opened.callback(started[-1].kill)
        _until(lambda: all(path.exists() for path in ready))
        yield started


def _cancel(place: Place, samples: Samples) -> None:
    """Cancel a tree of which every node runs; how long until the code of each has left."""
    fan = list(place.plan.fan)
    nodes = 1
    for width in reversed(fan):
        nodes = 1 + width * nodes
    root = place.orchestrator.spawn("recovery-node", {"fan": fan}).id
    _until(lambda: place.ask(_RUNNING, id=root) == [nodes])
    began = time.time()
    place.orchestrator.cancel(root)
    samples.add("recovery.cancelled", [time.time() - began])
    _until(lambda: len(place.ask(_STOPPED, id=root)) == nodes)
    samples.add("recovery.left", [at - began for at in place.ask(_STOPPED, id=root)])
    samples.note("recovery.nodes", nodes)
    _until(lambda: place.deps.gate.held() == 0)


def _empty(place: Place) -> float:
    """Seconds from the loss of everything in Redis until a spawn is accepted."""
    began = time.time()
    place.deps.gate.redis.flushall()
    handle = place.orchestrator.spawn("recovery-noop")
    taken = time.time() - began
    handle.result(timeout=PATIENCE)
    return taken


def _until(fact: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not fact():
        if time.monotonic() > deadline:
            raise RuntimeError("it has not come so far; see the logs of the workers")
        time.sleep(0.05)
