"""What the end of an agent's code means for its attempt; the same for all runtimes."""

from __future__ import annotations

from collections.abc import Callable

from orchestrator.agents.history import History
from orchestrator.domain import payload
from orchestrator.domain.call import CallRefusal
from orchestrator.domain.errors import (
    CallRefused,
    DeadlockDetected,
    HistoryTooLong,
    NonDeterministicAgent,
    SpawnRefused,
)
from orchestrator.domain.failure import describe, kinds_of
from orchestrator.domain.journal import Rewind
from orchestrator.domain.lifecycle import Reason
from orchestrator.engine.execute import Completed, Failed, HandedBack, Outcome, outcome_of_stop
from orchestrator.engine.running import Left, Run, Stop
from orchestrator.telemetry.logging import get_logger

log = get_logger("orchestrator.runtime")


def completed(value: object, max_bytes: int) -> Outcome:
    """The agent returned this; what cannot be stored is a failure that no retry helps."""
    try:
        text = payload.encode(value, name="result", max_bytes=max_bytes)
    except (payload.NotJSON, payload.TooLarge) as error:
        fault = {"type": type(error).__name__, "message": str(error)}
        return Failed(Reason.INVALID_RESULT, fault, retryable=False)
    return Completed(text)


def not_loaded(run: Run) -> Outcome:
    """This process lacks the agent's code."""
    message = (
        f"This worker does not have the agent {run.instance.agent!r}. Start it with "
        "--agents MODULE, or give the agent a pool of its own workers."
    )
    return Failed(Reason.AGENT_NOT_LOADED, {"type": "AgentNotLoaded", "message": message})


def outcome_of(run: Run, history: History, code: Callable[[], object], max_bytes: int) -> Outcome:
    """Run the code of an attempt; what its end means. Never raises."""
    try:
        value = code()
        # Also where the function has caught what was to leave it.
        run.check()
        history.check_end()
    except Stop:
        return outcome_of_stop(run)
    except Left as left:
        return left
    except BaseException as error:  # whatever an agent raises is its failure
        if run.stopped.is_set():
            return outcome_of_stop(run)
        return run.left or raised(run, error, history.rewind_for(error))
    return completed(value, max_bytes)


def raised(run: Run, error: BaseException, rewind: Rewind | None = None) -> Outcome:
    """What it means for an attempt that its code raised this."""
    if isinstance(error, CallRefused) and error.code == CallRefusal.BREAKER_OPEN:
        return HandedBack(Reason.BREAKER_OPEN, error.retry_after or 0.0)
    return _failed(run, error, rewind)


def _failed(run: Run, error: BaseException, rewind: Rewind | None) -> Outcome:
    log.info("agent.raised", instance=run.id, agent=run.instance.agent, error=type(error).__name__)
    is_exhausted = _is_exhausted(error)
    is_hopeless = isinstance(error, NonDeterministicAgent | HistoryTooLong)
    retryable = not is_hopeless and not is_exhausted
    is_deadlock = isinstance(error, DeadlockDetected)
    reason = Reason.DEADLOCK_DETECTED if is_deadlock else Reason.AGENT_ERROR
    why = Reason.BUDGET_EXCEEDED if is_exhausted else reason
    return Failed(why, describe(error), retryable, kinds_of(error), rewind)


def _is_exhausted(error: BaseException) -> bool:
    """Whether a budget is used up; no other attempt would find more in it."""
    return (
        isinstance(error, CallRefused | SpawnRefused)
        and error.code == Reason.BUDGET_EXCEEDED
        and not error.retryable
    )
