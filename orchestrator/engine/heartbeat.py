"""heartbeat: one thread per worker process keeps its leases and stops what must stop."""

from __future__ import annotations

import threading
import time

import structlog

from orchestrator.domain.errors import OrchestratorError
from orchestrator.domain.lifecycle import State
from orchestrator.engine.deps import Deps
from orchestrator.engine.execute import Host, abandon
from orchestrator.engine.running import Run, StopReason

log = structlog.get_logger("orchestrator.heartbeat")

#: Seconds between looks at deadlines; a beat itself is sent only every `interval` seconds.
TICK = 0.25
#: Seconds a stopping attempt has to leave by itself before it is interrupted.
INTERRUPT_AFTER = 1.0
#: Seconds after which an attempt that still has not ended is abandoned.
ABANDON_AFTER = 10.0


class Heart:
    """Beats for one pool of one worker process until closed."""

    def __init__(self, deps: Deps, host: Host, pool: str, capacity: int, interval: float) -> None:
        self._deps, self._host = deps, host
        self._pool, self._capacity, self._interval = pool, capacity, interval
        self._closed = threading.Event()
        self._due = 0.0
        self._thread = threading.Thread(target=self._live, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Beat once now, so that the gate knows this worker, and then regularly."""
        beat(self._deps, self._host, self._pool, self._capacity)
        self._thread.start()

    def retire(self) -> None:
        """Offer no capacity from now on, but keep the leases of what still runs."""
        self._capacity = 0
        self._due = 0.0

    def close(self) -> None:
        """Stop beating."""
        self._closed.set()
        self._thread.join(timeout=5)

    def _live(self) -> None:
        stop_channel = self._deps.gate.channel("stop")
        with self._deps.notifier.listen([stop_channel], self._stop):
            while not self._closed.wait(TICK):
                enforce(self._deps, self._host)
                if time.monotonic() >= self._due:
                    self._due = time.monotonic() + self._beat_safely()

    def _beat_safely(self) -> float:
        """Beat; answers the seconds until the next one."""
        try:
            next_due = beat(self._deps, self._host, self._pool, self._capacity)
        except OrchestratorError as error:
            log.warning("heartbeat.failed", error=error.code)
            return TICK
        return min(self._interval, self._interval if next_due is None else next_due)

    def _stop(self, instance_id: str) -> None:
        self._host.running.stop(instance_id, StopReason.CANCELLED)


def beat(deps: Deps, host: Host, pool: str, capacity: int) -> float | None:
    """Renew all leases; answers the seconds until the next delayed instance is due."""
    runs = {run.id: run for run in host.running.all()}
    pairs = [(run.id, run.attempt) for run in runs.values()]
    pulse = deps.gate.heartbeat(host.worker, pool, capacity, pairs)
    if pulse.doubtful:
        _resolve(deps, [runs[one] for one in pulse.doubtful if one in runs])
    if pulse.more:
        deps.gate.pump()
    return pulse.next_due


def _resolve(deps: Deps, runs: list[Run]) -> None:
    """The gate doubts that these may run: PostgreSQL decides."""
    before = {run.id: run.attempt for run in runs}
    rows = deps.store.get_many(list(before))
    for run in runs:
        row = rows.get(run.id)
        if run.attempt != before[run.id]:
            continue  # it went on as a new attempt while we asked
        mine = row is not None and row.attempt == run.attempt
        if row is not None and mine and row.state in (State.RUNNING, State.WAITING):
            deps.gate.adopt([row])
        elif mine and row is not None and row.state is State.QUEUED and run.is_parked:
            continue  # it is about to be given a slot again
        elif row is not None and row.state is State.CANCELLED:
            run.stop(StopReason.CANCELLED)
        else:
            run.stop(StopReason.FENCED)


def enforce(deps: Deps, host: Host) -> None:
    """Stop what is past its deadline; press on with what was told to stop and has not."""
    now = time.monotonic()
    for run in host.running.all():
        if now > run.deadline:
            run.stop(StopReason.TIMEOUT)
        if now > run.stopped_at + INTERRUPT_AFTER:
            run.interrupt()
        if now > run.stopped_at + ABANDON_AFTER:
            abandon(deps, host.running, run)
