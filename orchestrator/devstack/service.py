"""A child process that is ready at some point, and can be started again."""

from __future__ import annotations

import signal
import time
from abc import ABC, abstractmethod
from threading import Event, Lock

from orchestrator.devstack.errors import ServiceFailed
from orchestrator.devstack.process import Child, Command

_POLL_S = 0.01


class Service(ABC):
    """A part of the stack. Subclasses say how it is started and how one sees that it is ready."""

    #: How long it may take until it is ready, in seconds.
    ready_s = 30.0

    def __init__(self, name: str) -> None:
        #: How it is called in messages.
        self.name = name
        self._child: Child | None = None
        # A supervisor and a test may want to start it again at the same moment.
        self._launching = Lock()

    @abstractmethod
    def _command(self) -> Command:
        """How to start it."""

    @abstractmethod
    def _answers(self) -> bool:
        """True when it is ready. Asked only while its process lives."""

    def _prepare(self) -> None:  # noqa: B027  # most have nothing to prepare
        """What has to be done before a start."""

    def _will_pass(self, seconds: float, said: str) -> bool:
        """True when a run that ended `seconds` after the launch, having `said` this, is to be
        launched again at once: what stopped it is only the remains of an earlier run."""
        return False

    @property
    def pid(self) -> int | None:
        """The process of the latest run, None before the first start."""
        return self._child.pid if self._child else None

    @property
    def alive(self) -> bool:
        """True while the process lives (it may be paused)."""
        return self._child is not None and self._child.alive

    def poll(self) -> int | None:
        """The exit code of the latest run; None while it lives (or before the first)."""
        return self._child.poll() if self._child else None

    def start(self) -> None:
        """Start it and wait until it is ready. Nothing happens when it runs.

        Raises ServiceFailed.
        """
        self.launch()
        self.wait_ready()

    def launch(self) -> None:
        """Start it without waiting. Nothing happens when it runs."""
        with self._launching:
            if self.alive:
                return
            self._prepare()
            self._begin()

    def _begin(self) -> None:
        self._child = Child(self._command())
        self._child.start()

    def wait_ready(self, abandon: Event | None = None) -> None:
        """Wait until it is ready, or until somebody sets `abandon`.

        Raises ServiceFailed when it ends before, or takes longer than `ready_s`.
        """
        began = time.monotonic()
        while not (abandon and abandon.is_set()):
            child, waited = self._launched, time.monotonic() - began
            if child.alive and self._answers():
                return
            if not child.alive:
                self._begin_again(child, waited)
            elif waited > self.ready_s:
                raise child.failed(f"was not ready within {self.ready_s:.0f} s")
            time.sleep(_POLL_S)

    def _begin_again(self, child: Child, waited: float) -> None:
        if not self._will_pass(waited, child.said()):
            raise child.failed(f"ended while it started (exit code {child.poll()})")
        self._begin()

    def stop(self) -> None:
        """Shut it down in order; by force when its grace is over."""
        if self._child:
            self._child.stop()

    def ask_to_stop(self) -> None:
        """Begin to shut it down; `wait_stopped` waits for the end."""
        if self._child:
            self._child.ask_to_stop()

    def wait_stopped(self) -> None:
        """Wait until it is gone after `ask_to_stop`; force it when its grace is over."""
        if self._child:
            self._child.wait_stopped()

    def kill(self) -> None:
        """End it as a power cut would (SIGKILL)."""
        if self._child:
            self._child.kill()

    def restart(self, *, kill: bool = False) -> None:
        """Stop it (or kill it), start it again and wait until it is ready."""
        if kill:
            self.kill()
        self.stop()
        self.start()

    def send(self, number: signal.Signals) -> None:
        """Send the process a signal."""
        self._launched.send(number)

    def pause(self) -> None:
        """Freeze the process: its connections stay open, nothing is answered."""
        self.send(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused process go on."""
        self.send(signal.SIGCONT)

    def failed(self, what: str) -> ServiceFailed:
        """An error about it that shows the last lines of its log."""
        return self._launched.failed(what)

    @property
    def _launched(self) -> Child:
        if self._child is None:
            raise RuntimeError(f"{self.name} was never started")
        return self._child
