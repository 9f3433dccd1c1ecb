"""lock: one holder at a time, among all agents of a tenant.

A lock belongs to an attempt of an instance and ends with it: whoever dies, is fenced out or ends
lets go of all it holds. One that is suspended keeps it. Each holder gets a token greater than any
before, so that what a lock guards can turn away a holder of the past.
"""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.domain.errors import InvalidRequest
from orchestrator.engine.deps import Deps
from orchestrator.engine.patience import insist
from orchestrator.engine.running import HeldLock, Run
from orchestrator.engine.wait import deadlock
from orchestrator.telemetry.logging import get_logger

log = get_logger("orchestrator.lock")

LONGEST_NAME = 200


def ask(deps: Deps, run: Run, claim: str, name: str) -> HeldLock | None:
    """This lock, if it is free or has been given to this claim; None while it is waited for.

    Raises `DeadlockDetected` when its holder waits, near or far, for this instance.
    """
    _check_name(name)
    run.check()
    reply = insist(lambda: deps.gate.take_lock(run.instance, run.attempt, claim, name))
    if reply.cycle:
        raise deadlock(deps, run, reply)
    if reply.state == "full":
        raise InvalidRequest(
            "TOO_MANY_LOCKS",
            f"Instance {run.id} holds as many locks as one may. Let go of some before {name!r}.",
        )
    if reply.state != "held":
        return None
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
