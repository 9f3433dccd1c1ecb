"""One child process: started in a session of its own, tied to our life, logged to a file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.devstack import launch
from orchestrator.devstack.errors import ServiceFailed
from orchestrator.devstack.identity import Identity

_MAX_LOG_BYTES = 5_000_000

#: Patience with a child that was sent SIGKILL. The kernel needs milliseconds; a child that is
#: stuck in a dead file system never ends, and must not hold us for ever.
_KILL_WAIT_S = 10.0


@dataclass(frozen=True, slots=True)
class Command:
    """How to start one child, and how to end it."""

    #: For people: appears in messages.
    name: str
    #: The program (a full path) and its arguments. No secrets: everybody can read them.
    argv: tuple[str, ...]
    #: Receives all that the child prints.
    log: Path
    #: Its working directory.
    folder: Path
    #: Its whole environment.
    env: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    #: Which user it runs as.
    identity: Identity = Identity.SELF
    #: Asks it to end in order.
    stop_signal: signal.Signals = signal.SIGTERM
    #: What it gets from the kernel when we are killed.
    death_signal: signal.Signals = signal.SIGKILL
    #: Seconds between `stop_signal` and SIGKILL.
    grace_s: float = 10.0


class _Spawner:
    """The one thread that starts children.

    The kernel sends the death signal when the *thread* that started a child ends. So children
    are started by a thread that lives as long as the interpreter, whoever asks for them.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "devstack-spawner")
        # A forked copy of us has no such thread and would wait for it for ever.
        os.register_at_fork(after_in_child=self._renew)

    def _renew(self) -> None:
        self._thread = ThreadPoolExecutor(1, "devstack-spawner")

    def start(self, command: Command) -> subprocess.Popen[bytes]:
        return self._thread.submit(_popen, command).result()


_SPAWNER = _Spawner()


def _popen(command: Command) -> subprocess.Popen[bytes]:
    launcher = (sys.executable, "-I", "-S", launch.__file__, str(os.getpid()))
    limits = (str(int(command.death_signal)), command.identity, str(command.folder))
    with command.log.open("ab") as log:
        return subprocess.Popen(
            [*launcher, *limits, *command.argv],
            env=dict(command.env),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C in the terminal reaches only us
        )


class Child:
    """A child process that can be started more than once (one run at a time)."""

    def __init__(self, command: Command) -> None:
        self.command = command
        self._popen: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    def start(self) -> None:
        """Start a run. The caller makes sure that the earlier one has ended."""
        log = self.command.log
        log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if log.exists() and log.stat().st_size > _MAX_LOG_BYTES:
            log.replace(log.with_suffix(".old.log"))
        self._log_start = log.stat().st_size if log.exists() else 0
        self._popen = _SPAWNER.start(self.command)

    @property
    def pid(self) -> int | None:
        """The process id of the latest run, None before the first."""
        return self._popen.pid if self._popen else None

    def poll(self) -> int | None:
        """The exit code of the latest run; None while it lives (or before the first)."""
        return self._popen.poll() if self._popen else None

    @property
    def alive(self) -> bool:
        """True while a run is going on."""
        return self._popen is not None and self._popen.poll() is None

    def run(self) -> int:
        """Start a run and wait for its end; its exit code. Interrupted, it leaves nothing."""
        self.start()
        try:
            assert self._popen is not None  # by start()
            return self._popen.wait()
        finally:
            self.kill()

    def send(self, number: signal.Signals) -> None:
        """Send a signal; nothing happens when the child has ended."""
        if self._popen:
            self._popen.send_signal(number)

    def ask_to_stop(self) -> None:
        """Send the signal that ends the run in order, and do not wait for it."""
        self.send(self.command.stop_signal)
        self.send(signal.SIGCONT)  # a paused child would never hear us

    def stop(self) -> None:
        """End the run, in order if that is done within the grace, else by force."""
        if not self._popen:
            return
        self.ask_to_stop()
        self.wait_stopped()

    def wait_stopped(self) -> None:
        """Wait until a run that was asked to stop is gone; end it by force after its grace."""
        if not self._popen:
            return
        try:
            self._popen.wait(self.command.grace_s)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End the run, and whatever is left in its session's group, at once (SIGKILL)."""
        if not self.alive or self._popen is None:
            return
        # Not yet waited for, so the number cannot belong to anybody else.
        os.killpg(self._popen.pid, signal.SIGKILL)
        self._popen.wait(_KILL_WAIT_S)

    def said(self, lines: int = 12) -> str:
        """The last lines that this run wrote to its log."""
        with self.command.log.open("rb") as log:
            log.seek(self._log_start)
            text = log.read(_MAX_LOG_BYTES).decode(errors="replace")
        return "\n".join(text.rstrip().splitlines()[-lines:])

    def failed(self, what: str) -> ServiceFailed:
        """An error about this child that shows its last lines."""
        return ServiceFailed(self.command.name, what, self.command.log, self.said())
