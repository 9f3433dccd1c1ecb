"""heartbeat: one thread per worker process keeps its leases and stops what must stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from orchestrator.domain.errors import OrchestratorError
from orchestrator.domain.lifecycle import State
from orchestrator.engine import lock, progress
from orchestrator.engine.deps import Deps
from orchestrator.engine.execute import Host, abandon
from orchestrator.engine.running import Run, StopReason
from orchestrator.store.store import Standing
from orchestrator.telemetry import metrics
from orchestrator.telemetry.logging import get_logger

log = get_logger("orchestrator.heartbeat")

#: Seconds between looks at deadlines; a beat itself is sent only every `interval` seconds.
TICK = 0.25
#: Seconds a stopping attempt has to leave by itself before it is interrupted.
INTERRUPT_AFTER = 1.0


class Heart:
    """Beats for one pool of one worker process until closed.

    `on_first_beat` is called once the gate knows the worker.
    """

    def __init__(
        self,
        deps: Deps,
        host: Host,
        pool: str,
        capacity: int,
        interval: float,
        on_first_beat: Callable[[], None] = lambda: None,
    ) -> None:
        self._deps, self._host = deps, host
        self._pool, self._capacity, self._interval = pool, capacity, interval
        self._on_first_beat: Callable[[], None] | None = on_first_beat
        self._closed = threading.Event()
        #: set when the next beat has become due sooner
        self._bell = threading.Event()
        self._due = 0.0
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._live, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Begin to beat."""
        self._thread.start()

    def retire(self) -> None:
        """Offer no capacity from now on, but keep the leases of what still runs."""
        self._capacity = 0
        self._beat_within(0.0)

    def close(self) -> None:
        """Stop beating."""
        self._closed.set()
        self._bell.set()
        self._thread.join(timeout=5)

    def _live(self) -> None:
        gate, listen = self._deps.gate, self._deps.notifier.listen
        with listen(gate.channels("stop"), self._stop), listen(gate.channels("due"), self._hurry):
            while not self._closed.is_set():
                enforce(self._deps, self._host)
                self._tell_safely()
                if time.monotonic() >= self._due:
                    self._due = float("inf")
                    self._beat_within(self._beat_safely())
                self._bell.clear()
                self._bell.wait(max(0.0, min(TICK, self._due - time.monotonic())))

    def _beat_safely(self) -> float:
        """Beat; answers the seconds until the next one. Whatever happens, the heart goes on."""
        began = time.monotonic()
        try:
            next_due = beat(self._deps, self._host, self._pool, self._capacity)
        except OrchestratorError as error:
            metrics.HEARTBEATS.add("failed")
            log.warning("heartbeat.failed", error=error.code)
            return TICK
        except Exception:
            metrics.HEARTBEATS.add("failed")
            log.exception("heartbeat.failed")
            return TICK
        metrics.HEARTBEATS.add("sent")
        metrics.HEARTBEAT_SECONDS.observe(time.monotonic() - began)
        if self._on_first_beat is not None:
            self._on_first_beat()
            self._on_first_beat = None
        return min(self._interval, self._interval if next_due is None else next_due)

    def _hurry(self, milliseconds: str) -> None:
        """Something is due sooner than the last beat was told."""
        self._beat_within(float(milliseconds) / 1000)
        self._bell.set()

    def _beat_within(self, seconds: float) -> None:
        with self._lock:
            self._due = min(self._due, time.monotonic() + seconds)

    def _tell_safely(self) -> None:
        """Write what agents tell of how far they are; it is of no use to insist."""
        try:
            progress.flush(self._deps, self._host.running.all())
        except OrchestratorError as error:
            log.warning("progress.not_written", error=error.code)
        except Exception:
            log.exception("progress.not_written")

    def _stop(self, text: str) -> None:
        """An id, or `id PREEMPTED attempt`."""
        instance_id, _reason, attempt = [*text.split(" "), "", ""][:3]
        if attempt:
            self._host.running.displace(instance_id, int(attempt))
        else:
            self._host.running.stop(instance_id, StopReason.CANCELLED)


def beat(deps: Deps, host: Host, pool: str, capacity: int) -> float | None:
    """Renew all leases and stop what must stop; answers the seconds until the next due start."""
    seen = [(run, run.attempt) for run in host.running.all()]
    held = [(run.id, attempt) for run, attempt in seen]
    pulse = deps.gate.heartbeat(host.worker, pool, capacity, held)
    if pulse.more:
        deps.gate.pump()
    for run, attempt in seen:
        if run.id in pulse.displaced:
            host.running.displace(run.id, attempt)
    lock.renew(deps, [run for run, _ in seen])
    if seen:
        # Told to stop or not: what has ended in PostgreSQL has to stop, whatever got lost.
        standings = deps.store.standings([run.id for run, _ in seen])
        for run, attempt in seen:
            _judge(deps, run, attempt, standings.get(run.id), run.id in pulse.doubtful)
    return pulse.next_due


def _judge(deps: Deps, run: Run, attempt: int, row: Standing | None, doubtful: bool) -> None:
    """Let a run go on, or stop it, by what PostgreSQL says of it."""
    if run.attempt != attempt:
        return  # it went on as a new attempt while we asked
    if row is not None and row.state.is_terminal:
        run.stop(StopReason.CANCELLED)
    elif row is None or row.attempt != attempt or (row.state is State.QUEUED and not run.is_parked):
        run.stop(StopReason.FENCED)
    elif row.yields:
        run.ask(StopReason.PAUSED)
    elif doubtful and row.state in (State.RUNNING, State.WAITING):
        _restore(deps, run)


def _restore(deps: Deps, run: Run) -> None:
    """The gate has lost the place of a run that PostgreSQL knows: tell it."""
    instance = deps.store.get(run.id)
    if instance is not None and not instance.state.is_terminal:
        deps.gate.adopt([instance])


def _patience(deps: Deps, run: Run) -> float:
    """Seconds it has to leave by itself; one that is displaced may finish what it is doing."""
    return deps.stop_grace / 2 if run.reason is StopReason.PREEMPTED else INTERRUPT_AFTER


def enforce(deps: Deps, host: Host) -> None:
    """Stop what is past its deadline; press on with what was told to stop and has not."""
    now = time.monotonic()
    for run in host.running.all():
        if now > run.deadline:
            run.stop(StopReason.TIMEOUT)
        if now > run.stopped_at + _patience(deps, run):
            run.interrupt()
        if now > run.stopped_at + deps.stop_grace and not run.is_abandoned:
            run.is_abandoned = True
            # On a thread of its own: it may have to wait for a server, the heart may not.
            threading.Thread(target=abandon, args=(deps, host.running, run), daemon=True).start()
