"""lock: one holder at a time, among all agents of a tenant.

A lock belongs to a run of an instance and ends with it: whoever dies, is fenced out or ends lets
go of all it holds. Waiting for one gives the slot back, as every wait does. Each holder gets a
token greater than any before, so that what a lock guards can turn away a holder of the past.
"""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.admission.replies import WaitReply
from orchestrator.domain.errors import InvalidRequest
from orchestrator.domain.lifecycle import Reason
from orchestrator.engine.deps import Deps
from orchestrator.engine.execute import Host
from orchestrator.engine.patience import insist
from orchestrator.engine.running import HeldLock, Run
from orchestrator.engine.wait import deadlock, sit_out
from orchestrator.telemetry.logging import get_logger

log = get_logger("orchestrator.lock")

LONGEST_NAME = 200


def take(deps: Deps, host: Host, run: Run, name: str) -> HeldLock:
    """Hold this lock, waiting for it if need be.

    Raises `DeadlockDetected` when its holder waits, near or far, for this instance.
    """
    _check_name(name)
    run.check()
    claim = run.new_claim()

    def look(_was_woken: bool = False) -> WaitReply | None:
        reply = deps.gate.take_lock(run.instance, run.attempt, claim, name)
        return reply if reply.state in ("held", "deadlock", "full") else None

    reply = insist(look)
    if reply is None:
        reply = sit_out(deps, host, run, claim, Reason.WAITING_FOR_LOCK, look, [])
    if reply.cycle:
        raise deadlock(deps, run, reply)
    if reply.state == "full":
        raise InvalidRequest(
            "TOO_MANY_LOCKS",
            f"Instance {run.id} holds as many locks as one may. Let go of some before {name!r}.",
        )
    held = HeldLock(name, claim, reply.token)
    run.locks.append(held)
    return held


def give_back(deps: Deps, run: Run, held: HeldLock) -> None:
    """Let go of it; the first in line gets it."""
    run.locks.remove(held)
    insist(lambda: deps.gate.free_lock(run.instance, held.claim, held.name))


def renew(deps: Deps, runs: Sequence[Run]) -> None:
    """Say what is held, in case the gate has forgotten; part of every heartbeat."""
    held = [(run, run.attempt, lock) for run in runs for lock in list(run.locks)]
    if not held:
        return
    answers = deps.gate.hold_locks(
        [(run.instance, attempt, lock.claim, lock.name, lock.token) for run, attempt, lock in held]
    )
    for (run, attempt, lock), is_held in zip(held, answers, strict=True):
        # One that is about to go on as another attempt is asked again with the next beat.
        if not is_held and not run.is_parked and run.attempt == attempt and lock in run.locks:
            lock.is_lost = True
            log.warning("lock.lost", instance=run.id, lock=lock.name, token=lock.token)


def _check_name(name: object) -> None:
    if not (isinstance(name, str) and 0 < len(name) <= LONGEST_NAME and name.isprintable()):
        raise InvalidRequest(
            "INVALID_LOCK",
            f"{name!r} cannot name a lock: use 1 to {LONGEST_NAME} printable characters.",
        )
