"""execute: begin an attempt, run it, settle it, release its slot.

Only the newest attempt of an instance begins and only the newest settles, so a message that is
delivered twice, late, or after a cancellation runs nothing.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from time import perf_counter
from typing import Any, Protocol

from orchestrator.domain.errors import Unavailable
from orchestrator.domain.failure import Kinds, with_attempts
from orchestrator.domain.instance import Instance
from orchestrator.domain.journal import Rewind
from orchestrator.domain.lifecycle import Reason, State
from orchestrator.engine import dependencies, progress
from orchestrator.engine.deps import Deps
from orchestrator.engine.fault_points import reached
from orchestrator.engine.patience import insist
from orchestrator.engine.running import (
    Continued,
    Left,
    Run,
    Running,
    StopReason,
    Suspended,
    awake,
)
from orchestrator.engine.suspend import begin_anew, suspend
from orchestrator.store.control import RetriesUsedUp
from orchestrator.store.store import Ending, Standing
from orchestrator.telemetry import metrics
from orchestrator.telemetry.logging import about, get_logger

log = get_logger("orchestrator.execute")

#: Seconds after which an instance that was begun too early is looked at again.
LOOK_AGAIN = 1.0


@dataclass(frozen=True)
class Completed:
    """The agent returned; `result` is JSON text."""

    result: str


@dataclass(frozen=True)
class Failed:
    """The attempt failed."""

    reason: Reason
    error: dict[str, Any]
    #: whether the retry policy is asked at all
    retryable: bool = True
    #: what the error is, for the retry policy; empty: what `error` says
    kinds: Kinds = ()
    #: what the next attempt does again
    rewind: Rewind | None = None


@dataclass(frozen=True)
class Stopped:
    """The attempt was told to stop, and did."""

    reason: StopReason


@dataclass(frozen=True)
class HandedBack:
    """The attempt could not go on for now, by no fault of its own; it counts as no failure."""

    reason: Reason
    #: seconds before it may start again
    delay: float


Outcome = Completed | Failed | Stopped | HandedBack | Left


class Runtime(Protocol):
    """A way to run an agent's code."""

    def run(self, host: Host, run: Run) -> Outcome:
        """Run the attempt to its end on the calling thread. Never raises."""


@dataclass(frozen=True)
class Host:
    """The worker process an attempt runs in."""

    worker: str
    running: Running
    runtime: Runtime


def execute(deps: Deps, host: Host, instance_id: str, attempt: int) -> None:
    """Do all that a message `(instance_id, attempt)` asks for."""
    reached("begin.before" if attempt == 1 else "resume.before")
    asked_at, instance = insist(
        lambda: (awake(), deps.store.begin(instance_id, attempt, host.worker))
    )
    if instance is None:
        _turn_away(deps, instance_id, attempt)
        return
    reached("begin.row" if attempt == 1 else "resume.row")
    run = Run(instance, deps.lease, asked_at)
    with host.running.entered(run), about(**_whose(run)):
        outcome = _held_back(deps, instance) or _run(host, run)
        if run.take_settlement():
            finish(deps, run, outcome)
        else:
            host.running.returned(run)


def _whose(run: Run) -> dict[str, object]:
    """What every line of the log says while it runs."""
    instance = run.instance
    return {
        "tenant": instance.tenant,
        "session": instance.session,
        "agent": instance.agent,
        "instance": instance.id,
        "attempt": run.attempt,
    }


def _run(host: Host, run: Run) -> Outcome:
    """Run the attempt, and count how it was left."""
    instance = run.instance
    if run.attempt == 1 and instance.started_at is not None and instance.depends_on is None:
        waited = (instance.started_at - instance.created_at).total_seconds()
        metrics.QUEUE_WAIT_SECONDS.observe(waited, instance.pool, instance.priority.label)
    began = perf_counter()
    outcome = host.runtime.run(host, run)
    how, reason = type(outcome).__name__.lower(), getattr(outcome, "reason", None) or ""
    metrics.RUN_SECONDS.observe(perf_counter() - began, instance.agent, how)
    metrics.ATTEMPTS.add(instance.pool, how, reason)
    return outcome


def finish(deps: Deps, run: Run, outcome: Outcome) -> None:
    """Write how an attempt ended, and give its slot back.

    However long PostgreSQL is away: see `engine/endings.py`.
    """
    if outcome == Stopped(StopReason.LEASE_LOST):
        _let_go(deps, run)
        return
    with deps.endings.writing(run, outcome):
        deps.endings.write(run, lambda: progress.flush(deps, [run], last=True))
        match outcome:
            case Completed(result):
                _settle(deps, run, Ending(State.COMPLETED, result=result))
            case Failed():
                _fail(deps, run, outcome)
            case HandedBack(reason, delay):
                _hand_back(deps, run, reason, delay)
            case Left():
                _leave(deps, run, outcome)
            case Stopped(why):
                _leave_off(deps, run, why)


def _fail(deps: Deps, run: Run, failed: Failed) -> None:
    """Another attempt follows, unless the policy or the session's budget is against it."""
    instance, reason = run.instance, failed.reason
    error = with_attempts(failed.error, instance.error, run.attempt, datetime.now(UTC))
    if _may_retry(instance, failed):
        delay = instance.retry.delay(instance.failures + 1)
        failure = {"error": error, "rewind": failed.rewind, "retries": deps.retries}
        if _hand_back(deps, run, Reason.RETRY, delay, failed=True, **failure):
            return
        reason = Reason.RETRY_BUDGET_EXHAUSTED
        log.warning("retry.refused", instance=run.id, session=instance.session)
    if failed.rewind is not None:
        # Who runs it again begins there.
        error["rewind"] = asdict(failed.rewind)
    _settle(deps, run, Ending(State.FAILED, reason, error=error, failed=True))


#: Reasons to stop an attempt of an instance that goes on.
_GOES_ON = {
    StopReason.WORKER_STOPPED: Reason.WORKER_STOPPED,
    StopReason.PAUSED: Reason.PAUSED,
    StopReason.PREEMPTED: Reason.PREEMPTED,
}


def _leave_off(deps: Deps, run: Run, why: StopReason) -> None:
    if why in _GOES_ON:
        _hand_back(deps, run, _GOES_ON[why])
        return
    # Its row is not this attempt's to write any more.
    if why is StopReason.CANCELLED:
        how = {"how": _how_stopped(run)}
        deps.endings.write(run, lambda: deps.store.note(run.id, "stopped", how))
    _release(deps, run)


def _let_go(deps: Deps, run: Run) -> None:
    """Nobody could say whether it is still this worker's. If it is, it goes back in line.

    That is tried once: where it cannot be said, the lease of the attempt says it to all others.
    """
    try:
        if deps.store.hand_back(run.id, run.attempt, Reason.LEASE_EXPIRED) is not None:
            deps.gate.requeue(run.instance, run.attempt)
            return
        row = deps.store.standings([run.id]).get(run.id)
        if row is not None and (row.state, row.attempt) == (State.CANCELLED, run.attempt):
            # It was cancelled meanwhile, and this worker had no time to hear of it.
            deps.store.note(run.id, "stopped", {"how": _how_stopped(run)})
        ended = row is None or row.state.is_terminal
        deps.gate.release(run.id, run.attempt, ended=ended)
    except Unavailable as error:
        log.warning("run.let_go", instance=run.id, attempt=run.attempt, error=error.code)


def _leave(deps: Deps, run: Run, left: Left) -> None:
    if isinstance(left, Suspended):
        suspend(deps, run, left)
    elif isinstance(left, Continued):
        begin_anew(deps, run, left)


def abandon(deps: Deps, running: Running, run: Run) -> None:
    """Write the end of an attempt whose code does not return, and let its thread be."""
    if not run.take_settlement():
        return
    log.error("run.abandoned", instance=run.id, agent=run.instance.agent, reason=run.reason)
    running.write_off(run)
    finish(deps, run, outcome_of_stop(run))


def outcome_of_stop(run: Run) -> Outcome:
    """What it means for an attempt that it was stopped for its reason."""
    if run.reason is StopReason.TIMEOUT:
        seconds = run.instance.timeout_seconds
        error = {"type": "TimeoutError", "message": f"ran longer than {seconds:g} s"}
        return Failed(Reason.TIMEOUT, error)
    if run.reason is StopReason.NO_PROGRESS:
        seconds = run.instance.progress_timeout or 0.0
        error = {"type": "NoProgress", "message": f"showed no sign of progress for {seconds:g} s"}
        return Failed(Reason.NO_PROGRESS, error)
    return Stopped(run.reason or StopReason.FENCED)


def _turn_away(deps: Deps, instance_id: str, attempt: int) -> None:
    """An attempt may not begin. Unless it is running already, its slot is free for others."""
    standing = deps.store.standings([instance_id]).get(instance_id)
    runs_already = standing is not None and standing.attempt == attempt
    has_ended = standing is None or standing.state.is_terminal
    log.info("run.turned_away", instance=instance_id, attempt=attempt, runs=runs_already)
    if standing is not None and not has_ended and _is_kept(standing, attempt):
        _put_aside(deps, instance_id, attempt)
    elif not runs_already or has_ended:
        deps.gate.release(instance_id, attempt, ended=has_ended)


def _is_kept(standing: Standing, attempt: int) -> bool:
    return standing.is_paused and standing.attempt < attempt


def _put_aside(deps: Deps, instance_id: str, attempt: int) -> None:
    """It is paused, and the gate had not heard of it."""
    instance = deps.store.get(instance_id)
    if instance is not None:
        deps.gate.pause([instance_id])
        deps.gate.requeue(instance, attempt)


def _how_stopped(run: Run) -> str:
    """How a cancelled attempt has left, as its event has it; see `CancelOutcome`."""
    if run.is_abandoned:
        return "abandoned"
    return "interrupted" if run.was_interrupted else "left"


def _held_back(deps: Deps, instance: Instance) -> Outcome | None:
    """Why an instance that starts after others does not run, if it does not."""
    if instance.depends_on is None:
        return None
    found = insist(lambda: dependencies.look(deps, instance))
    if found.pending:
        # Nobody who keeps the gate's books lets this happen; it must not run in any case.
        return HandedBack(Reason.WAITING_FOR_CHILDREN, LOOK_AGAIN)
    if found.failed and instance.depends_on.on_failure == "fail":
        why = dependencies.message(instance, found.failed)
        fault = {"type": "DependencyFailed", "message": why}
        return Failed(Reason.DEPENDENCY_FAILED, fault, retryable=False)
    return None


def _may_retry(instance: Instance, failed: Failed) -> bool:
    failures = instance.failures + 1
    kinds = failed.kinds or str(failed.error.get("type", ""))
    return failed.retryable and instance.retry.allows(failures, kinds)


def _settle(deps: Deps, run: Run, ending: Ending) -> None:
    reached("settle.before")
    below = deps.endings.write(run, lambda: deps.store.settle(run.id, run.attempt, ending))
    deps.endings.written(run)
    if below is None:
        _release(deps, run)
        return
    reached("settle.row")
    if below:
        deps.endings.tell(lambda: deps.gate.cancel(below))
    reached("release.before")
    deps.endings.tell(lambda: deps.gate.release(run.id, run.attempt))
    reached("release.done")


def _hand_back(deps: Deps, run: Run, reason: Reason, delay: float = 0.0, **failure: Any) -> bool:
    """The attempt ends, the instance goes on. False: its session may not try again."""
    reached("retry.before")
    try:
        below = deps.endings.write(
            run, lambda: deps.store.hand_back(run.id, run.attempt, reason, delay=delay, **failure)
        )
    except RetriesUsedUp:
        return False
    deps.endings.written(run)
    reached("retry.row")
    if below:
        deps.endings.tell(lambda: deps.gate.cancel(below))
    if below is not None or _is_in_line(deps, run):
        deps.endings.tell(lambda: deps.gate.requeue(run.instance, run.attempt, delay))
        reached("retry.requeued")
    else:
        _release(deps, run)
    return True


def _release(deps: Deps, run: Run) -> None:
    """Give up the slot of an attempt whose row somebody else has written."""
    standing = deps.endings.write(run, lambda: deps.store.standings([run.id])).get(run.id)
    ended = standing is None or standing.state.is_terminal
    deps.endings.tell(lambda: deps.gate.release(run.id, run.attempt, ended=ended))


def _is_in_line(deps: Deps, run: Run) -> bool:
    """Whether the row is queued as this attempt left it: it waited for a slot to go on."""
    standing = deps.endings.write(run, lambda: deps.store.standings([run.id])).get(run.id)
    return standing is not None and (standing.state, standing.attempt) == (
        State.QUEUED,
        run.attempt,
    )
