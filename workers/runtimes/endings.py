"""How processes end badly, as failures of their attempts."""

from __future__ import annotations

import signal
from collections.abc import Sequence

from orchestrator.domain.failure import LONGEST_MESSAGE, storable
from orchestrator.domain.lifecycle import Reason
from orchestrator.engine.execute import Failed, Outcome


def cannot_start(command: Sequence[str], error: OSError) -> Outcome:
    """There is no such program, or the machine has no room for it."""
    return program_failed("CannotStart", f"{command[0]!r} cannot be started: {error}")


def ended_badly(status: int, notes: str) -> Outcome:
    """It ended with this exit status, negative for a signal."""
    if status >= 0:
        return program_failed("ProgramFailed", f"It ended with exit status {status}.", notes)
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    return program_failed("ProgramKilled", f"It was ended by {name}.", notes)


def invalid_output(fault: Exception, notes: str) -> Outcome:
    """What it wrote on stdout cannot be used; it would be the same again."""
    return _invalid("InvalidOutput", str(fault), notes)


def no_result(notes: str) -> Outcome:
    """It ended without saying a result; it would be the same again."""
    return _invalid("NoResult", "It ended without a result on stdout.", notes)


def program_failed(kind: str, message: str, notes: str = "", *, retryable: bool = True) -> Outcome:
    """It failed, in its own words or in ours; `notes` is the end of its stderr."""
    return Failed(Reason.AGENT_ERROR, _fault(kind, message, notes), retryable)


def _invalid(kind: str, message: str, notes: str) -> Outcome:
    return Failed(Reason.INVALID_RESULT, _fault(kind, message, notes), retryable=False)


def _fault(kind: str, message: str, notes: str) -> dict[str, str]:
    fault = {"type": storable(kind)[:200], "message": storable(message)[:LONGEST_MESSAGE]}
    return fault | {"stderr": notes} if notes else fault
