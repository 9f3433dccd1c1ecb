"""`python -m benchmarks.durable.on_dbos direct|queued URL`: the cases, as `dbos` documents them."""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks import work
from benchmarks.durable.cases import NAP
from benchmarks.durable.on_command import Case, obey
from benchmarks.gate import peers

_QUEUE = "bench"
#: Seconds between looks of the queue, and of who waits for what was queued. Its default is 1.
_LOOK = 0.02
_THREADS = 64

Workflow = Callable[..., Any]


def main() -> None:
    """Serve until killed."""
    mode, url = sys.argv[1:]
    peers.find()
    dbos: Any = importlib.import_module("dbos")
    library = dbos.DBOS
    library(config={"name": "bench", "system_database_url": url, "log_level": "WARNING"})
    starter = Starter(library, is_queued=mode == "queued")
    found = workflows(library, starter)
    library.launch()
    if starter.is_queued:
        library.register_queue(_QUEUE, polling_interval_sec=_LOOK, worker_concurrency=_THREADS)
    obey(f"dbos-{mode}", cases(library, starter, found))


@dataclass(frozen=True)
class Starter:
    """Starts workflows, in this very process or by the queue."""

    library: Any
    is_queued: bool

    def start(self, workflow: Workflow, *args: Any) -> Any:
        """A handle on a workflow that was started."""
        if self.is_queued:
            return self.library.enqueue_workflow(_QUEUE, workflow, *args)
        return self.library.start_workflow(workflow, *args)

    def result(self, handle: Any) -> Any:
        """What it returned."""
        return handle.get_result(polling_interval_sec=_LOOK)

    def timed(self, workflow: Workflow, *args: Any) -> float:
        """Seconds from the call until the time that the workflow returns."""
        began = time.time()
        return float(self.result(self.start(workflow, *args))) - began

    def many(self, workflow: Workflow, size: int) -> float:
        """The same of many at once, each."""
        began = time.time()
        handles = [self.start(workflow) for _ in range(size)]
        return (max(float(self.result(handle)) for handle in handles) - began) / size


def workflows(library: Any, starter: Starter) -> dict[str, Workflow]:
    """What is measured, registered."""
    found = _register(library, *_single(library))
    return found | _register(library, *_parents(starter, found["noop"]))


def _register(library: Any, *each: Workflow) -> dict[str, Workflow]:
    return {one.__name__: library.workflow(name=one.__name__)(one) for one in each}


def _single(library: Any) -> tuple[Workflow, ...]:
    @library.step(name="nothing")  # type: ignore[untyped-decorator]  # it is not installed for mypy
    def nothing() -> None:
        """The action of a step."""

    def noop() -> float:
        return time.time()

    def steps(count: int) -> float:
        began = time.time()
        for _ in range(count):
            nothing()
        return (time.time() - began) / count

    def signal() -> float:
        sent = library.recv("go", timeout_seconds=60)
        return time.time() - float(sent)

    def doze() -> float:
        library.sleep(NAP)
        return time.time()

    return noop, steps, signal, doze


def _parents(starter: Starter, noop: Workflow) -> tuple[Workflow, ...]:
    def child(key: str) -> float:
        ended = starter.result(starter.start(noop))
        now = time.time()
        work.tell(f"{key}:resumed", now - ended)
        return now

    def fan(count: int) -> float:
        for handle in [starter.start(noop) for _ in range(count)]:
            starter.result(handle)
        return time.time()

    def chain(count: int) -> float:
        for _ in range(count):
            starter.result(starter.start(noop))
        return time.time()

    return child, fan, chain


def cases(library: Any, starter: Starter, found: dict[str, Workflow]) -> dict[str, Case]:
    """The cases by their names."""

    def send(size: int, key: str) -> float:
        handle = starter.start(found["signal"])
        time.sleep(0.1)
        library.send(handle.workflow_id, str(time.time()), "go")
        return float(starter.result(handle))

    return {
        "noop": lambda size, key: starter.timed(found["noop"]),
        "step": lambda size, key: float(starter.result(starter.start(found["steps"], size))),
        "child": lambda size, key: starter.timed(found["child"], key),
        "signal": send,
        "flood": lambda size, key: starter.many(found["noop"], size),
        "doze": lambda size, key: starter.many(found["doze"], size) - NAP / size,
        "fan": lambda size, key: starter.timed(found["fan"], size) / size,
        "chain": lambda size, key: starter.timed(found["chain"], size) / size,
    }


if __name__ == "__main__":
    main()
