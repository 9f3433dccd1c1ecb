"""Runs a Python agent in a process of its own, which can be killed and whose memory is bounded."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from operator import attrgetter
from typing import Any

from orchestrator.agents.backend import Backend, EngineBackend
from orchestrator.agents.mail import Mail, Values
from orchestrator.agents.programs import Program
from orchestrator.agents.registry import RegisteredAgent, Registry
from orchestrator.domain.errors import OrchestratorError
from orchestrator.engine.deps import Deps
from orchestrator.engine.execute import Host, Outcome, outcome_of_stop
from orchestrator.engine.running import HeldLock, Run
from workers.runtimes import wire
from workers.runtimes.child import ALIVE, HERE, Assignment
from workers.runtimes.dialogue import Dialogue
from workers.runtimes.endings import cannot_start, ended_badly, invalid_output
from workers.runtimes.group import Group
from workers.runtimes.outcomes import not_loaded, raised
from workers.runtimes.output import Message
from workers.runtimes.warden import Warden

COMMAND = (sys.executable, "-m", "workers.runtimes.child")
#: What a child may ask for.
PARTS: dict[str, type] = {"": Backend, "mail.": Mail, "values.": Values}
KNOWN = {"begin_call", "end_call"} | {
    part + name for part, kind in PARTS.items() for name in vars(kind) if not name.startswith("_")
}
#: Bytes of one message: a batch of spawns has the arguments of all of them.
LONGEST = 64 * 1024 * 1024


class IsolatedRuntime:
    """See `Runtime`."""

    def __init__(
        self, deps: Deps, registry: Registry, max_payload_bytes: int, warden: Warden
    ) -> None:
        self._deps = deps
        self._registry = registry
        self._max_payload_bytes = max_payload_bytes
        self._warden = warden

    def run(self, host: Host, run: Run) -> Outcome:
        """Run the attempt to its end on the calling thread. Never raises."""
        registered = self._registry.get(run.instance.agent)
        if registered is None or registered.isolation is None:
            return not_loaded(run)
        try:
            return self._run(run, registered)
        except BaseException as error:
            return outcome_of_stop(run) if run.stopped.is_set() else raised(run, error)

    def _run(self, run: Run, registered: RegisteredAgent) -> Outcome:
        assert registered.isolation is not None
        program = Program(
            COMMAND,
            _environment(),
            memory_limit=registered.isolation.memory_limit,
            grace=min(registered.isolation.grace, 0.8 * self._deps.stop_grace),
        )
        try:
            group = Group(program, self._warden)
        except OSError as error:
            return cannot_start(COMMAND, error)
        try:
            dialogue = Dialogue(run, group, program.grace, LONGEST, is_interactive=True)
            dialogue.hold(self._assignment(run, registered), _Desk(self._deps, run).answer)
        finally:
            status = group.bury()
        return _outcome(run, dialogue, status, dialogue.notes.end())

    def _assignment(self, run: Run, registered: RegisteredAgent) -> Message:
        assignment = Assignment(
            registered.function.__module__,
            replace(run.instance, attempt=run.attempt),
            self._max_payload_bytes,
            self._deps.max_history,
            logging.getLevelName(logging.getLogger("orchestrator").getEffectiveLevel()),
        )
        return {"type": "start", "assignment": wire.write(assignment)}


class _Desk:
    """Does what the child asks for."""

    def __init__(self, deps: Deps, run: Run) -> None:
        self._backend, self._run = EngineBackend(deps, run), run

    def answer(self, message: Message) -> Message | None:
        """The answer to a question; an error is one, too. That it goes on needs none."""
        if message["type"] == ALIVE:
            return None
        name = message["name"]
        if message["type"] != "do" or name not in KNOWN or (name in HERE and name != "now"):
            raise ValueError(f"an isolated agent asked for {name!r}")
        args, kwargs = wire.read(message["args"])
        try:
            value = attrgetter(name)(self._backend)(*map(self._ours, args), **kwargs)
        except OrchestratorError as error:
            return {"type": "raised", "value": wire.write(error)}
        return {"type": "done", "value": wire.write(value)}

    def _ours(self, value: Any) -> Any:
        """What stands for something of this process, as that."""
        if isinstance(value, HeldLock):
            return next(lock for lock in self._run.locks if lock.claim == value.claim)
        return value


def _environment() -> Mapping[str, str]:
    """The worker's, without the addresses and passwords of our servers; modules as here."""
    kept = {name: one for name, one in os.environ.items() if not name.startswith("ORCHESTRATOR_")}
    return kept | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def _outcome(run: Run, dialogue: Dialogue, status: int, notes: str) -> Outcome:
    if dialogue.last is not None:
        outcome: Outcome = wire.read(dialogue.last["value"])
        # It only knows that it was stopped, not why.
        return outcome_of_stop(run) if run.stopped.is_set() else outcome
    if run.stopped.is_set():
        return outcome_of_stop(run)
    if dialogue.fault is not None:
        return invalid_output(dialogue.fault, notes)
    return ended_badly(status, notes)
