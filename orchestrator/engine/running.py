"""The attempts that run in this process, and how they are told to stop."""

from __future__ import annotations

import itertools
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NoReturn

from orchestrator.domain.instance import Instance
from orchestrator.domain.journal import Entry
from orchestrator.domain.waits import Wait
from orchestrator.engine.progress import Teller


class StopReason(StrEnum):
    """Why a running attempt has to stop."""

    #: somebody cancelled it, or its parent ended: its row is terminal already
    CANCELLED = "CANCELLED"
    #: another attempt has taken over
    FENCED = "FENCED"
    #: it ran longer than its timeout
    TIMEOUT = "TIMEOUT"
    #: it showed no sign of progress for longer than it was to
    NO_PROGRESS = "NO_PROGRESS"
    #: its worker is shutting down and hands it back
    WORKER_STOPPED = "WORKER_STOPPED"
    #: it is paused, or was asked to let others go first
    PAUSED = "PAUSED"
    #: something more urgent needs its slot; it goes on later
    PREEMPTED = "PREEMPTED"
    #: for a whole lease nobody could say that it is still this worker's: another may have it
    LEASE_LOST = "LEASE_LOST"


def awake() -> float:
    """Seconds of a clock that nobody sets, and that goes on while the machine sleeps."""
    return time.clock_gettime(_CLOCK)


#: A machine that slept has let its leases run out; Linux alone has a clock that tells.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Stop(BaseException):
    """Leaves an agent's function. No `Exception`, so that agents do not catch it by accident."""

    def __init__(self, reason: StopReason) -> None:
        super().__init__(reason)
        self.reason = reason


class Left(BaseException):
    """Leaves an agent's function in the middle, to be run again from its top later.

    Once it was raised, whatever the function asks for on its way out raises it again.
    """


class Suspended(Left):
    """What the function asked for is not there yet."""

    def __init__(self, wait: Wait, entries: Sequence[Entry] = ()) -> None:
        super().__init__(wait)
        self.wait = wait
        #: what has to be in the journal when it comes back
        self.entries = tuple(entries)


class Continued(Left):
    """It begins anew, with other arguments (JSON text) and an empty journal."""

    def __init__(self, args: str) -> None:
        super().__init__(args)
        self.new_args = args


@dataclass
class HeldLock:
    """A lock that a run holds."""

    name: str
    claim: str
    #: greater than that of any holder before
    token: int
    #: whether it turned out to be held no more
    is_lost: bool = False


class Run:
    """One attempt of an instance on a thread of this process.

    Stopping goes in three steps: `stop` sets the event that `check` and all waits look at;
    `interrupt` breaks into the function from outside; an attempt that still does not end is
    abandoned (see `engine/execute.py`).

    It is this worker's for `lease` seconds after somebody was last asked who said so, `asked_at`
    being when the first one was; see `awake`.
    """

    def __init__(
        self, instance: Instance, lease: float = float("inf"), asked_at: float | None = None
    ) -> None:
        self.instance = instance
        self.attempt = instance.attempt
        self._lease = lease
        self._own_until = (awake() if asked_at is None else asked_at) + lease
        self.deadline = time.monotonic() + instance.timeout_seconds
        self.stopped = threading.Event()
        self.reason: StopReason | None = None
        self.stopped_at = float("inf")
        #: whether it was given up, its code not returning
        self.is_abandoned = False
        #: how its function is being left, if it is
        self.left: Left | None = None
        #: whether its thread waits, without a slot
        self.is_parked = False
        self._lock = threading.Lock()
        self._interrupter: Callable[[], None] | None = None
        #: whether its function was broken into
        self.was_interrupted = False
        self._settled = False
        #: the server's time at a time of this process
        self._clock = None if instance.clock is None else (instance.clock, time.monotonic())
        self._asked: StopReason | None = None
        #: what it tells of how far it is
        self.progress = Teller()
        self._wakers: list[threading.Event] = []
        #: the locks it holds, oldest first
        self.locks: list[HeldLock] = []
        # What an earlier run of the instance has asked for must not be taken for this one's.
        self._name = secrets.token_hex(6)
        #: when it last showed that it goes on
        self._alive_at = time.monotonic()
        self._claims = itertools.count(1)

    @property
    def id(self) -> str:
        """The instance's id."""
        return self.instance.id

    def now(self, clock: Callable[[], datetime]) -> datetime:
        """The time of the server that `clock` asks; it is asked once, the rest is counted here."""
        if self._clock is None:
            self._clock = (clock(), time.monotonic())
        began, at = self._clock
        return began + timedelta(seconds=time.monotonic() - at)

    def new_claim(self) -> str:
        """A name for one wait of this run, or for one lock it wants."""
        return f"{self._name}:{next(self._claims)}"

    def confirm(self, asked_at: float) -> None:
        """Who was asked then, by `awake`, has said that it is still this worker's."""
        self._own_until = max(self._own_until, asked_at + self._lease)

    @property
    def is_lost(self) -> bool:
        """Whether nobody has confirmed it for a whole lease."""
        return awake() > self._own_until

    def show_progress(self) -> None:
        """It goes on: it has asked for something, or said something."""
        self._alive_at = time.monotonic()

    @property
    def is_stuck(self) -> bool:
        """Whether it has shown no sign of progress for longer than it may. It may wait."""
        longest = self.instance.progress_timeout
        if longest is None or self.is_parked:
            return False
        return time.monotonic() > self._alive_at + longest

    def ask(self, reason: StopReason) -> None:
        """Ask the attempt to stop at its next `check`; until then it is left alone."""
        self._asked = reason

    def check(self) -> None:
        """Raise `Stop` if this attempt has to stop, and `Left` if its function is being left."""
        self.show_progress()
        if self._asked is not None and self.reason is None:
            self.stop(self._asked)
        if self.is_lost:
            self.stop(StopReason.LEASE_LOST)
        if self.reason is not None:
            raise Stop(self.reason)
        if self.left is not None:
            raise self.left

    def leave(self, how: Left) -> NoReturn:
        """Leave the function this way."""
        self.left = how
        raise how

    def stop(self, reason: StopReason) -> None:
        """Ask the attempt to stop. The first reason stands."""
        with self._lock:
            if self.reason is None:
                self.reason = reason
                self.stopped_at = time.monotonic()
            wakers = list(self._wakers)
        self.stopped.set()
        for waker in wakers:
            waker.set()

    def fenced(self) -> Stop:
        """Stop for an attempt that may not write any more; answers what to raise."""
        self.stop(StopReason.FENCED)
        return Stop(self.reason or StopReason.FENCED)

    @contextmanager
    def waking(self, event: threading.Event) -> Iterator[None]:
        """While inside, a stop also sets this event: for code that waits for something else."""
        with self._lock:
            self._wakers.append(event)
        if self.stopped.is_set():
            event.set()
        try:
            yield
        finally:
            with self._lock:
                self._wakers.remove(event)

    @contextmanager
    def interruptible(self, interrupter: Callable[[], None]) -> Iterator[None]:
        """While inside, `interrupt` may break in by calling this."""
        with self._lock:
            self._interrupter = interrupter
        try:
            yield
        finally:
            with self._lock:
                self._interrupter = None

    def interrupt(self) -> None:
        """Break into the function, once, if it is still inside."""
        with self._lock:
            if self._interrupter is not None and not self.was_interrupted:
                self.was_interrupted = True
                self._interrupter()

    def take_settlement(self) -> bool:
        """Whether the caller is the one to write this attempt's end; true only once."""
        with self._lock:
            first, self._settled = not self._settled, True
            return first


class Running:
    """All runs of this process."""

    def __init__(self, on_parked: Callable[[int], None] = lambda _change: None) -> None:
        # Not by id: an attempt that was fenced out may still be here when the next one begins.
        self._runs: set[Run] = set()
        self._lock = threading.Lock()
        self._on_parked = on_parked

    @contextmanager
    def entered(self, run: Run) -> Iterator[None]:
        """While inside, the run is renewed by the heartbeat and can be stopped by its id."""
        with self._lock:
            self._runs.add(run)
        try:
            yield
        finally:
            self.remove(run)

    def remove(self, run: Run) -> None:
        """Forget a run; its lease is not renewed any more."""
        with self._lock:
            self._runs.discard(run)

    @contextmanager
    def parked(self, run: Run) -> Iterator[None]:
        """While inside, the run's thread only waits: the pool may run another in its place."""
        run.is_parked, left = True, run.deadline - time.monotonic()
        # An attempt's timeout counts the time it runs, not the time it waits.
        run.deadline = float("inf")
        self._on_parked(+1)
        try:
            yield
        finally:
            self._on_parked(-1)
            run.show_progress()
            run.is_parked, run.deadline = False, time.monotonic() + left

    def write_off(self, run: Run) -> None:
        """Forget a run whose code does not return; its thread counts as parked until it does."""
        self.remove(run)
        self._on_parked(+1)

    def returned(self, _run: Run) -> None:
        """The code of a written-off run has returned after all."""
        self._on_parked(-1)

    def all(self) -> list[Run]:
        """The runs there are now."""
        with self._lock:
            return list(self._runs)

    def stop(self, instance_id: str, reason: StopReason) -> None:
        """Ask all attempts of an instance that are here to stop."""
        for run in self.all():
            if run.id == instance_id:
                run.stop(reason)

    def displace(self, instance_id: str, attempt: int) -> None:
        """Ask this attempt to give way, unless it has given its slot back to wait."""
        for run in self.all():
            if run.id == instance_id and run.attempt == attempt and not run.is_parked:
                run.stop(StopReason.PREEMPTED)
