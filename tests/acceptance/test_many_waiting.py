"""Waiting costs rows: more parents than slots, and more of them than a process has room for."""

from __future__ import annotations

from pathlib import Path

from orchestrator import Orchestrator, SpawnRequest, State
from orchestrator.engine.deps import Deps
from tests.support.processes import Program, Programs
from tests.support.waiting import wait_until

SLOTS = 10
#: `benchmarks/durable` does the same with 10,000.
SLEEPERS = 1_000
MOST_MIB = 300


def test_trees_deeper_than_the_slots_finish(
    orchestrator: Orchestrator, deps: Deps, start: Programs
) -> None:
    """Twenty roots and their children wait in ten slots, for forty instances each."""
    start.worker("--concurrency", str(SLOTS))
    request = SpawnRequest("tree", {"fan": 3, "depth": 3})
    roots = orchestrator.spawn_many([request] * 20)
    assert [root.result(timeout=150) for root in roots] == [40] * 20
    wait_until(lambda: deps.gate.held() == 0, "no slot is held")


def test_who_waits_costs_its_worker_nothing(
    orchestrator: Orchestrator, deps: Deps, start: Programs
) -> None:
    worker = start.worker("--concurrency", str(SLOTS))
    handles = orchestrator.spawn_many([SpawnRequest("doze", {"seconds": 0.0})] * (2 * SLOTS))
    for handle in handles:
        handle.result(timeout=30)
    _, mib = status(worker)
    orchestrator.spawn_many([SpawnRequest("doze", {"seconds": 3_600.0})] * SLEEPERS)
    wait_until(
        lambda: deps.store.count_by_state().get(State.WAITING) == SLEEPERS, "all wait", seconds=150
    )
    wait_until(lambda: deps.gate.held() == 0, "no slot is held")
    threads_then, mib_then = status(worker)
    # Those that run agents, and a dozen that keep house.
    assert threads_then <= 3 * SLOTS
    assert mib_then < MOST_MIB
    # All that a sleeper leaves in its worker is less than a thread's stack.
    assert mib_then - mib < 60
    # Who is new is served as if nobody else were there.
    assert orchestrator.spawn("add", {"a": 1}).result(timeout=30) == 2


def status(worker: Program) -> tuple[int, float]:
    """Threads of a process, and the MiB of memory that it has."""
    lines = Path(f"/proc/{worker.pid}/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    return int(fields["Threads"]), int(fields["VmRSS"].split()[0]) / 1024
