"""Runs programs: any executable that reads JSON and writes JSON."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from orchestrator.agents.backend import EngineBackend
from orchestrator.agents.context import Context
from orchestrator.agents.programs import Program
from orchestrator.agents.registry import Registry
from orchestrator.domain.instance import Instance
from orchestrator.engine import wait
from orchestrator.engine.deps import Deps
from orchestrator.engine.execute import Host, Outcome, outcome_of_stop
from orchestrator.engine.running import Run
from workers.runtimes.dialogue import Dialogue
from workers.runtimes.endings import (
    cannot_start,
    ended_badly,
    invalid_output,
    no_result,
    program_failed,
)
from workers.runtimes.group import Group
from workers.runtimes.outcomes import completed, not_loaded, raised
from workers.runtimes.output import Message
from workers.runtimes.requests import Requests
from workers.runtimes.warden import Warden


class ProcessRuntime:
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
        if registered is None or not isinstance(registered.function, Program):
            return not_loaded(run)
        try:
            return self._run(host, run, registered.function)
        except BaseException as error:
            return outcome_of_stop(run) if run.stopped.is_set() else raised(run, error)

    def _run(self, host: Host, run: Run, program: Program) -> Outcome:
        try:
            group = Group(program, self._warden)
        except OSError as error:
            return cannot_start(program.command, error)
        try:
            # What stops a run takes its thread away at some point; the program has to end before.
            grace = min(program.grace, 0.8 * self._deps.stop_grace)
            limit, is_interactive = self._max_payload_bytes, program.interactive
            dialogue = Dialogue(run, group, grace, limit, is_interactive=is_interactive)
            requests = Requests(Context(EngineBackend(self._deps, run)), self._waiter(host, run))
            dialogue.hold(_first_line(run), requests.answer)
        finally:
            status = group.bury()
        return self._outcome(run, dialogue, status, dialogue.notes.end())

    def _waiter(self, host: Host, run: Run) -> Any:
        def wait_for(ids: list[str], needs: int | None, timeout: float | None) -> list[Instance]:
            if timeout is not None and needs is None:
                return wait.wait_keeping(self._deps, run, ids, timeout)
            return wait.wait_suspended(self._deps, host, run, ids, needs)

        return wait_for

    def _outcome(self, run: Run, dialogue: Dialogue, status: int, notes: str) -> Outcome:
        last = dialogue.last
        if last is not None and last["type"] == "result" and status == 0:
            return completed(last.get("value"), self._max_payload_bytes)
        if run.stopped.is_set():
            return outcome_of_stop(run)
        if last is not None and last["type"] == "error":
            return _as_told(last, notes)
        if dialogue.fault is not None:
            return invalid_output(dialogue.fault, notes)
        if status != 0 and not (last is not None and dialogue.was_told):
            return ended_badly(status, notes)
        if last is not None:
            return completed(last.get("value"), self._max_payload_bytes)
        return no_result(notes)


def _first_line(run: Run) -> Message:
    instance = run.instance
    deadline = datetime.now(UTC) + timedelta(seconds=run.deadline - time.monotonic())
    return {
        "type": "start",
        "id": instance.id,
        "attempt": run.attempt,
        "failures": instance.failures,
        "agent": instance.agent,
        "session": instance.session,
        "tenant": instance.tenant,
        "depth": instance.depth,
        "deadline": deadline.isoformat(),
        "args": instance.args,
    }


def _as_told(last: Message, notes: str) -> Outcome:
    kind, message = last.get("kind"), last.get("message")
    return program_failed(
        kind if isinstance(kind, str) else "ProgramError",
        message if isinstance(message, str) else json.dumps(message),
        notes,
        retryable=last.get("retryable") is not False,
    )
