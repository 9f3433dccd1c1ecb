"""The process of one isolated agent: `python -m workers.runtimes.child`.

It speaks with its worker as any program does, by lines, but what the lines carry is the backend of
its `Context`: everything that needs a server is done by the worker, everything else here.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from threading import RLock
from typing import Any, NoReturn, TextIO

from orchestrator.agents.context import Context
from orchestrator.agents.registry import REGISTRY
from orchestrator.domain.instance import Instance
from orchestrator.domain.lifecycle import Reason
from orchestrator.engine.execute import Failed, Outcome
from orchestrator.engine.running import Left, Run, Stop, StopReason
from orchestrator.telemetry import logging
from workers.runtimes import wire
from workers.runtimes.outcomes import outcome_of

#: Says that the agent goes on, at most every so many seconds.
ALIVE, TELL_AFTER = "alive", 0.5
#: Seconds between being told to stop and being broken into.
INTERRUPT_AFTER = 1.0
#: What is answered here instead of by the worker.
HERE = ("check", "leave", "pause", "now")


@dataclass(frozen=True)
class Assignment:
    """What a child is to run, as its first line says it."""

    module: str
    instance: Instance
    max_payload_bytes: int
    max_history: int
    log_level: str


class RemoteBackend:
    """See `Backend`: its operations are carried out by the worker."""

    def __init__(
        self,
        assignment: Assignment,
        run: Run,
        speak: Callable[[Any], Any],
        tell: Callable[[Any], None],
    ) -> None:
        self.instance = assignment.instance
        self.max_payload_bytes = assignment.max_payload_bytes
        self.max_history = assignment.max_history
        self._run, self._speak, self._tell = run, speak, tell
        self._told_at = float("-inf")

    def check(self) -> None:
        """Leave the function if it has to stop or is being left; say that it goes on."""
        self._run.check()
        if time.monotonic() > self._told_at + TELL_AFTER:
            self._told_at = time.monotonic()
            self._tell({"type": ALIVE})

    def leave(self, how: Left) -> NoReturn:
        """Leave the function, to be run again from its top."""
        self._run.leave(how)

    def pause(self, seconds: float) -> None:
        """Wait, keeping the slot."""
        self._run.stopped.wait(seconds)
        self._run.check()

    def now(self) -> datetime:
        """The time by PostgreSQL's clock, asked for once."""
        return self._run.now(partial(self._do, "now"))

    @property
    def mail(self) -> Any:
        """Its messages."""
        return _Part("mail", self._do)

    @property
    def values(self) -> Any:
        """The shared values of its session."""
        return _Part("values", self._do)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(name)
        return partial(self._do, name)

    def _do(self, name: str, *args: Any, **kwargs: Any) -> Any:
        self._run.check()
        answer = self._speak({"type": "do", "name": name, "args": wire.write((args, kwargs))})
        value = wire.read(answer["value"])
        if answer["type"] == "raised":
            raise value
        return value


class _Part:
    """A part of a backend: its operations by the name of the part."""

    def __init__(self, name: str, do: Callable[..., Any]) -> None:
        self._name, self._do = name, do

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return partial(self._do, f"{self._name}.{name}")


class Line:
    """Questions to the worker and its answers, one at a time."""

    def __init__(self, source: TextIO, target: TextIO) -> None:
        self._source, self._target = source, target
        self._lock = RLock()

    def ask(self, message: dict[str, Any]) -> Any:
        """Send a message and read the answer."""
        with self._lock:
            self.tell(message)
            return self.hear()

    def tell(self, message: dict[str, Any]) -> None:
        """Send a message."""
        with self._lock:
            self._target.write(json.dumps(message) + "\n")
            self._target.flush()

    def hear(self) -> Any:
        """Read a message."""
        line = self._source.readline()
        if not line:
            os._exit(1)  # the worker is gone, and nobody waits for this
        return json.loads(line)


def main(argv: Sequence[str] = ()) -> None:
    """Run what the first line says, and tell what became of it."""
    # What the agent prints is for people: the line to the worker is kept apart from it.
    target = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    line = Line(sys.stdin, target)
    assignment: Assignment = wire.read(line.hear()["assignment"])
    logging.configure(assignment.log_level)
    run = Run(assignment.instance)
    _obey(run)
    outcome = _carry_out(assignment, run, line)
    signal.setitimer(signal.ITIMER_REAL, 0)
    line.tell({"type": "result", "value": wire.write(outcome)})


def _carry_out(assignment: Assignment, run: Run, line: Line) -> Outcome:
    name = assignment.instance.agent
    importlib.import_module(assignment.module)
    registered = REGISTRY.get(name)
    if registered is None:
        text = f"Importing {assignment.module} registers no agent {name!r} in a new process."
        return Failed(Reason.AGENT_NOT_LOADED, {"type": "AgentNotLoaded", "message": text})
    context = Context(RemoteBackend(assignment, run, line.ask, line.tell))
    code = partial(registered.function, context, **assignment.instance.args)
    return outcome_of(run, context.history, code, assignment.max_payload_bytes)


def _obey(run: Run) -> None:
    """Stop when told to: at the next operation, or a second later wherever it is."""

    def told(*_: object) -> None:
        run.stop(StopReason.FENCED)
        signal.setitimer(signal.ITIMER_REAL, INTERRUPT_AFTER)

    def interrupt(*_: object) -> None:
        raise Stop(StopReason.FENCED)

    signal.signal(signal.SIGTERM, told)
    signal.signal(signal.SIGALRM, interrupt)


if __name__ == "__main__":
    main(sys.argv)
