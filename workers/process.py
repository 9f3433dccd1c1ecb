"""One worker process: what its tasks share, how it starts and how it ends."""

from __future__ import annotations

import os
import secrets
import socket
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

from orchestrator import bootstrap
from orchestrator.agents.registry import REGISTRY
from orchestrator.config.settings import Settings
from orchestrator.domain.errors import OrchestratorError
from orchestrator.engine.deps import Deps
from orchestrator.engine.endings import Endings
from orchestrator.engine.execute import Host, abandon
from orchestrator.engine.heartbeat import Heart
from orchestrator.engine.running import Running, StopReason
from orchestrator.store.vault import FileSeal
from orchestrator.telemetry.logging import get_logger
from workers.inheritance import Inheritance
from workers.pool import TaskPool
from workers.runtimes.every import EveryRuntime
from workers.shelf import FileShelf, folder_in

log = get_logger("orchestrator.worker")

#: Seconds after which a computing thread lets another one in. At Python's own 5 ms, each of the
#: round trips of a spawn costs that much beside agents that compute.
SWITCH_INTERVAL = 0.0005

#: Seconds that handed-back attempts get to leave their functions before the process ends.
LAST_WORDS = 2.0


@dataclass(frozen=True)
class Process:
    """What the tasks of a worker process share."""

    deps: Deps
    host: Host
    #: None in a process that runs no agents
    heart: Heart | None
    shelf: FileShelf | None = None


_current: Process | None = None


def current() -> Process:
    """The process this code runs in."""
    assert _current is not None, "tasks run only in a worker that was started by the CLI"
    return _current


def new_name(pool: str) -> str:
    """A name that no worker has had before, so that a restarted one is not taken for the old."""
    return f"{pool}-{secrets.token_hex(3)}@{socket.gethostname()}"


def start_agents(settings: Settings, worker: str, pool: str, concurrency: int) -> Process:
    """Make this process one that runs agents, and tell the gate what it offers."""
    # A connection for each thread that works would be too many: most of the time they compute.
    connections = max(4, min(concurrency + 4, 20))
    deps = bootstrap.build(settings, specs=REGISTRY.specs(), max_connections=connections)
    masters = settings.master_keys()
    seal = FileSeal(masters) if masters else None
    shelf = FileShelf(folder_in(settings.state_dir), worker, seal)
    deps = replace(deps, endings=Endings(shelf))
    running = Running(on_parked=_parked)
    sys.setswitchinterval(SWITCH_INTERVAL)
    host = Host(worker, running, EveryRuntime(deps, REGISTRY, settings.max_payload_bytes))
    heart = Heart(deps, host, pool, concurrency, settings.heartbeat, announce_ready)
    deps.store.save_agents(REGISTRY.specs().values())
    process = _become(Process(deps, host, heart, shelf))
    TaskPool.on_drain = staticmethod(lambda: drain(process, settings.shutdown_grace))
    Inheritance(deps, settings.state_dir, settings.lease / 3, seal).start()
    return process


def start_housekeeping(settings: Settings, worker: str) -> Process:
    """Make this process one that does housekeeping only."""
    deps = bootstrap.build(settings)
    host = Host(worker, Running(), EveryRuntime(deps, REGISTRY, settings.max_payload_bytes))
    return _become(Process(deps, host, None))


def announce_ready() -> None:
    """Tell the supervisor, if there is one, that this process consumes."""
    path = os.environ.get("ORCHESTRATOR_READY_FILE")
    if path:
        Path(path).write_text("ready\n")


def retire(process: Process) -> None:
    """Be offered no more work."""
    if process.heart is not None:
        process.heart.retire()
        try:
            process.deps.gate.leave(process.host.worker)
        except OrchestratorError as error:
            log.warning("worker.leave_failed", error=error.code)


def drain(process: Process, grace: float) -> None:
    """Let what runs end within `grace` seconds, then hand the rest back."""
    running = process.host.running
    _until_idle(running, grace)
    left = running.all()
    for run in left:
        run.stop(StopReason.WORKER_STOPPED)
    _until_idle(running, LAST_WORDS / 2)
    for run in running.all():
        run.interrupt()
    _until_idle(running, LAST_WORDS / 2)
    # From here on nobody waits for a server: what it could not be told is kept for who comes next.
    process.deps.endings.close()
    for run in running.all():
        abandon(process.deps, running, run)
    log.info("worker.drained", handed_back=len(left))
    _until_idle(running, LAST_WORDS / 2)
    if process.shelf is not None:
        process.shelf.close()
    if process.heart is not None:
        process.heart.close()


def _until_idle(running: Running, seconds: float) -> None:
    end = time.monotonic() + seconds
    while running.all() and time.monotonic() < end:
        time.sleep(0.02)


def _parked(change: int) -> None:
    if TaskPool.current is not None:
        TaskPool.current.parked(change)


def _become(process: Process) -> Process:
    global _current  # one worker per process, by Celery's own design
    _current = process
    return process
