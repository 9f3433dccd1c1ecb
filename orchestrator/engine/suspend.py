"""suspend: an attempt ends, its instance goes on once what it waits for is here.

The function was left already. The row is first: it says what is waited for, so that whoever
finds the instance later knows; where the wait is over by then, it goes straight back in line.
Then the gate frees the slot and wakes the instance when its time has come. A wake is a hint: the
function runs again from its top, and what it waited for looks for itself whether it is there.
"""

from __future__ import annotations

from dataclasses import replace

from orchestrator.domain.lifecycle import Reason
from orchestrator.domain.waits import KeptLock, Wait, WaitKind
from orchestrator.engine.adopt import adopt
from orchestrator.engine.deps import Deps
from orchestrator.engine.fault_points import reached
from orchestrator.engine.running import Continued, Run, Suspended
from orchestrator.telemetry.logging import get_logger

log = get_logger("orchestrator.suspend")

_REASONS = {
    WaitKind.ENDED: Reason.WAITING_FOR_CHILDREN,
    WaitKind.TIMER: Reason.WAITING_FOR_TIME,
    WaitKind.MESSAGE: Reason.WAITING_FOR_MESSAGE,
    WaitKind.SIGNAL: Reason.WAITING_FOR_SIGNAL,
    WaitKind.REPLY: Reason.WAITING_FOR_MESSAGE,
    WaitKind.LOCK: Reason.WAITING_FOR_LOCK,
}


def reason_of(wait: Wait) -> Reason:
    """Why one that waits for this is where it is."""
    return _REASONS[wait.kind]


def suspend(deps: Deps, run: Run, left: Suspended) -> None:
    """Write what an attempt waits for, and give its slot back."""
    reached("wait.left")
    locks = tuple(KeptLock(lock.name, lock.claim, lock.token) for lock in run.locks)
    wait = replace(left.wait, locks=locks)
    done = deps.endings.write(
        run,
        lambda: deps.store.journal.suspend(
            run.id, run.attempt, reason_of(wait), wait, left.entries
        ),
    )
    if done is None:
        # Ended by somebody else, or begun again elsewhere; the slot may be this attempt's still.
        deps.endings.tell(lambda: deps.gate.release(run.id, run.attempt, ended=False))
        return
    reached("suspend.row")
    wake_in = None
    if wait.until is not None:
        wake_in = max(0.0, (wait.until - run.now(deps.store.clock)).total_seconds())
    if not deps.endings.tell(
        lambda: deps.gate.suspend(
            run.id, run.attempt, wake_in=wake_in, ready=done.is_over, ended=done.ended
        )
    ):
        _tell_again(deps, run)
    reached("suspend.gate")


def _tell_again(deps: Deps, run: Run) -> None:
    """The gate has lost the attempt: it learns of the instance as of one it never knew."""
    row = deps.endings.write(run, lambda: deps.store.get(run.id))
    if row is not None and not row.state.is_terminal and row.attempt == run.attempt:
        deps.endings.tell(lambda: adopt(deps, [row]))


def begin_anew(deps: Deps, run: Run, left: Continued) -> None:
    """Put an instance back in line with other arguments and an empty journal."""
    below = deps.endings.write(
        run, lambda: deps.store.journal.begin_anew(run.id, run.attempt, left.new_args)
    )
    if below is None:
        deps.endings.tell(lambda: deps.gate.release(run.id, run.attempt, ended=False))
        return
    reached("continue.row")
    if below:
        deps.endings.tell(lambda: deps.gate.cancel(below))
    deps.endings.tell(lambda: deps.gate.requeue(run.instance, run.attempt, 0.0))
    reached("continue.requeued")
