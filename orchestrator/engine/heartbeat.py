"""heartbeat: keeps the leases of a worker process and stops what must stop.

Three threads, so that a server which does not answer holds up nobody but who asks it: one renews
the leases in the gate, one asks PostgreSQL whether what runs here still may, one looks at clocks.
What neither server has confirmed for a whole lease is stopped: another worker may have it by then.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Collection
from typing import TypeVar

from orchestrator.admission.replies import Pulse
from orchestrator.domain.errors import OrchestratorError
from orchestrator.domain.lifecycle import State
from orchestrator.engine import lock, progress
from orchestrator.engine.deps import Deps
from orchestrator.engine.execute import Host, abandon
from orchestrator.engine.running import Run, StopReason, awake
from orchestrator.store.store import Standing
from orchestrator.telemetry import metrics
from orchestrator.telemetry.logging import get_logger

T = TypeVar("T")
log = get_logger("orchestrator.heartbeat")

#: Seconds between looks at deadlines; a beat itself is sent only every `interval` seconds.
TICK = 0.25
#: Seconds between two beats, whatever is due.
SHORTEST = 0.005
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
        #: set when PostgreSQL is to be asked at once
        self._doubt = threading.Event()
        self._doubtful: frozenset[str] = frozenset()
        self._threads = [
            threading.Thread(target=target, name=f"heartbeat-{name}", daemon=True)
            for name, target in (
                ("gate", self._live),
                ("store", self._look),
                ("clock", self._watch),
            )
        ]

    def start(self) -> None:
        """Begin to beat."""
        for thread in self._threads:
            thread.start()

    def retire(self) -> None:
        """Offer no capacity from now on, but keep the leases of what still runs."""
        self._capacity = 0
        self._beat_within(0.0)

    def close(self) -> None:
        """Stop beating."""
        self._closed.set()
        self._bell.set()
        self._doubt.set()
        for thread in self._threads:
            thread.join(timeout=5)

    def _live(self) -> None:
        """Beat, as often as is due."""
        gate, listen = self._deps.gate, self._deps.notifier.listen
        with listen(gate.channels("stop"), self._stop), listen(gate.channels("due"), self._hurry):
            while not self._closed.is_set():
                if time.monotonic() >= self._due:
                    self._due = float("inf")
                    # All workers at once would be one more trouble for a server that comes back.
                    again = TICK * random.uniform(0.5, 1.5)
                    self._beat_within(self._safely(self._beat) or again)
                self._bell.clear()
                self._bell.wait(max(0.0, min(TICK, self._due - time.monotonic())))

    def _beat(self) -> float:
        """Beat; answers the seconds until the next one."""
        began = time.monotonic()
        try:
            pulse = renew(self._deps, self._host, self._pool, self._capacity)
        except Exception:
            metrics.HEARTBEATS.add("failed")
            raise
        metrics.HEARTBEATS.add("sent")
        metrics.HEARTBEAT_SECONDS.observe(time.monotonic() - began)
        if pulse.doubtful:
            self._doubtful = pulse.doubtful
            self._doubt.set()
        if self._on_first_beat is not None:
            self._on_first_beat()
            self._on_first_beat = None
        due = self._interval if pulse.next_due is None else pulse.next_due
        return max(min(self._interval, due), SHORTEST)

    def _look(self) -> None:
        """Ask PostgreSQL at every interval, and at once where the gate has doubts."""
        due = 0.0
        while not self._closed.is_set():
            if self._doubt.is_set() or time.monotonic() >= due:
                self._doubt.clear()
                is_asked = self._safely(self._ask)
                due = time.monotonic() + (self._interval if is_asked else TICK)
            self._safely(self._tell)
            self._doubt.wait(max(0.0, min(TICK, due - time.monotonic())))

    def _ask(self) -> bool:
        doubtful, self._doubtful = self._doubtful, frozenset()
        try:
            ask(self._deps, self._host, doubtful)
        except BaseException:
            self._doubtful |= doubtful
            raise
        return True

    def _tell(self) -> None:
        """Write what agents tell of how far they are; it is of no use to insist."""
        progress.flush(self._deps, self._host.running.all())

    def _watch(self) -> None:
        """Look at clocks four times a second; talks to nobody."""
        while not self._closed.wait(TICK):
            enforce(self._deps, self._host)

    def _safely(self, action: Callable[[], T]) -> T | None:
        """What it answers, or None. Whatever happens, the heart goes on."""
        try:
            return action()
        except OrchestratorError as error:
            log.warning("heartbeat.failed", error=error.code)
        except Exception:
            log.exception("heartbeat.failed")
        return None

    def _hurry(self, milliseconds: str) -> None:
        """Something is due sooner than the last beat was told; at once also for what runs here."""
        seconds = float(milliseconds) / 1000
        self._beat_within(seconds)
        self._bell.set()
        if not seconds:
            self._doubt.set()

    def _beat_within(self, seconds: float) -> None:
        with self._lock:
            self._due = min(self._due, time.monotonic() + seconds)

    def _stop(self, text: str) -> None:
        """An id, or `id PREEMPTED attempt`."""
        instance_id, _reason, attempt = [*text.split(" "), "", ""][:3]
        if attempt:
            self._host.running.displace(instance_id, int(attempt))
        else:
            self._host.running.stop(instance_id, StopReason.CANCELLED)


def renew(deps: Deps, host: Host, pool: str, capacity: int) -> Pulse:
    """Renew all leases in the gate; stop what is to give way."""
    asked_at, seen = awake(), [(run, run.attempt) for run in host.running.all()]
    pulse = deps.gate.heartbeat(host.worker, pool, capacity, [(run.id, at) for run, at in seen])
    for run, attempt in seen:
        if run.id not in pulse.unheld and run.id not in pulse.doubtful and run.attempt == attempt:
            run.confirm(asked_at)
        if run.id in pulse.displaced:
            host.running.displace(run.id, attempt)
    if pulse.more:
        deps.gate.pump()
    lock.renew(deps, [run for run, _ in seen])
    return pulse


def ask(deps: Deps, host: Host, doubtful: Collection[str] = ()) -> None:
    """Ask PostgreSQL whether what runs here still may, and stop what may not.

    Told to stop or not: what has ended there has to stop, whatever got lost. The gate is told
    again of those that may and that it has doubts about.
    """
    asked_at, seen = awake(), [(run, run.attempt) for run in host.running.all()]
    if not seen:
        return
    standings = deps.store.standings([run.id for run, _ in seen])
    for run, attempt in seen:
        if run.attempt != attempt:
            continue  # it went on as a new attempt while we asked
        if _may_go_on(run, standings.get(run.id), asked_at) and run.id in doubtful:
            _restore(deps, run)


def beat(deps: Deps, host: Host, pool: str, capacity: int) -> float | None:
    """Both, one after the other; answers the seconds until the next due start."""
    pulse = renew(deps, host, pool, capacity)
    ask(deps, host, pulse.doubtful)
    return pulse.next_due


def _may_go_on(run: Run, row: Standing | None, asked_at: float) -> bool:
    """Let a run go on, or stop it, by what PostgreSQL said of it."""
    if row is not None and row.state.is_terminal:
        run.stop(StopReason.CANCELLED)
        return False
    is_back_in_line = row is not None and row.state is State.QUEUED and not run.is_parked
    if row is None or row.attempt != run.attempt or is_back_in_line:
        run.stop(StopReason.FENCED)
        return False
    run.confirm(asked_at)
    if row.yields:
        run.ask(StopReason.PAUSED)
    return True


def _restore(deps: Deps, run: Run) -> None:
    """The gate has lost the place of a run that PostgreSQL knows: tell it."""
    instance = deps.store.get(run.id)
    if instance is not None and instance.state in (State.RUNNING, State.WAITING):
        deps.gate.adopt([instance])


def _patience(deps: Deps, run: Run) -> float:
    """Seconds it has to leave by itself; one that is displaced may finish what it is doing."""
    if run.reason is StopReason.LEASE_LOST:
        return 0.0
    return deps.stop_grace / 2 if run.reason is StopReason.PREEMPTED else INTERRUPT_AFTER


def enforce(deps: Deps, host: Host) -> None:
    """Stop what is past its deadline; press on with what was told to stop and has not."""
    now = time.monotonic()
    for run in host.running.all():
        if now > run.deadline:
            run.stop(StopReason.TIMEOUT)
        if run.is_stuck:
            run.stop(StopReason.NO_PROGRESS)
        if run.is_lost:
            run.stop(StopReason.LEASE_LOST)
        if now >= run.stopped_at + _patience(deps, run):
            run.interrupt()
        if now > run.stopped_at + deps.stop_grace and not run.is_abandoned:
            run.is_abandoned = True
            # On a thread of its own: it may have to wait for a server, the heart may not.
            threading.Thread(target=abandon, args=(deps, host.running, run), daemon=True).start()
