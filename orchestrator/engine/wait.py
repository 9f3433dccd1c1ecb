"""wait: until others have ended, holding no slot meanwhile.

A parent that kept its slot while its children need slots would end in deadlock, so a waiting
attempt gives its slot back and asks for a new one, ahead of new work, before it goes on. Its
thread stays: it is the pool's business to run another attempt in its place.

Before it waits, the gate learns for whom, and refuses what would never end.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress

from orchestrator.admission.replies import WaitReply
from orchestrator.domain.errors import (
    DeadlockDetected,
    GateUnavailable,
    InstanceNotFound,
    ResultPending,
)
from orchestrator.domain.instance import Instance
from orchestrator.domain.lifecycle import Reason
from orchestrator.domain.waits import WaitNode, chain_of
from orchestrator.engine.deps import Deps
from orchestrator.engine.execute import Host
from orchestrator.engine.fault_points import reached
from orchestrator.engine.patience import insist
from orchestrator.engine.running import Run
from orchestrator.telemetry.logging import get_logger

log = get_logger("orchestrator.wait")

#: Seconds between looks of a waiter that hears nothing: hints may be lost.
LOOK_AGAIN = 1.0
#: Seconds between questions of a waiter to the gate, which may have forgotten it.
ASK_AGAIN = 3.0
#: Seconds that a wait may keep a slot without the gate being told.
UNNOTICED = 1.0


def pending(deps: Deps, ids: Sequence[str]) -> list[str]:
    """Those of the ids that have not ended. Raises `InstanceNotFound`."""
    return insist(lambda: _pending(deps, ids))


def instances(deps: Deps, ids: Sequence[str]) -> list[Instance]:
    """The instances, in the order of the ids."""
    found = insist(lambda: deps.store.get_many(ids))
    return [found[one] for one in ids]


def begin(
    deps: Deps, run: Run, claim: str, targets: Sequence[str], needs: int
) -> tuple[WaitNode, ...]:
    """Tell the gate for whom a running attempt is about to wait.

    Answers nothing, or who waits for whom where that would never end; the wait is over then.
    """
    run.check()
    reply = insist(lambda: deps.gate.begin_wait(run.instance, run.attempt, claim, targets, needs))
    reached("wait.begun")
    if reply.cycle:
        note_deadlock(deps, run, reply.cycle)
    return reply.cycle


def wait_ended(
    deps: Deps,
    ids: Sequence[str],
    timeout: float | None = None,
    run: Run | None = None,
) -> list[Instance]:
    """The instances once all of them have ended, in the order of `ids`.

    Raises `ResultPending` after `timeout` seconds; the instances go on. Raises `Stop` when the
    `run` on whose behalf this waits has to stop.
    """
    deadline = float("inf") if timeout is None else time.monotonic() + timeout
    pending = _pending(deps, ids)
    if pending:
        channels = [deps.gate.channel("done", one) for one in pending]
        with deps.notifier.bell(channels) as bell, run.waking(bell) if run else nullcontext():
            pending = _pending(deps, pending)
            while pending:
                if run is not None:
                    run.check()
                left = deadline - time.monotonic()
                if left <= 0:
                    raise ResultPending(pending, timeout or 0.0)
                bell.wait(min(left, LOOK_AGAIN))
                bell.clear()
                pending = insist(lambda: _pending(deps, ids), deadline - time.monotonic())
    found = insist(lambda: deps.store.get_many(ids), deadline - time.monotonic())
    return [found[one] for one in ids]


def wait_keeping(deps: Deps, run: Run, ids: Sequence[str], timeout: float) -> list[Instance]:
    """Like `wait_ended`, for a running attempt that keeps its slot meanwhile.

    What takes long is told to the gate, which looks out for slots that only wait.
    """
    try:
        return wait_ended(deps, ids, min(timeout, UNNOTICED), run)
    except ResultPending:
        if timeout <= UNNOTICED:
            raise
    claim = run.new_claim()
    insist(lambda: deps.gate.block(run.instance, run.attempt, claim))
    try:
        return wait_ended(deps, ids, timeout - UNNOTICED, run)
    except ResultPending as pending:
        raise ResultPending(pending.instance_ids, timeout) from None
    finally:
        insist(lambda: deps.gate.end_wait(run.instance, claim))


def wait_suspended(
    deps: Deps, host: Host, run: Run, ids: Sequence[str], needs: int | None = None
) -> list[Instance]:
    """The instances once `needs` of them (None: all) have ended; without a slot meanwhile.

    Raises `DeadlockDetected` when that could never be, at once or, by another policy, when the
    wait of somebody else makes it so.
    """
    run.check()
    distinct = list(dict.fromkeys(ids))
    spare = 0 if needs is None else len(distinct) - needs
    claim = run.new_claim()
    wait = _Wait(deps, run, distinct, spare, claim)
    reply = insist(wait.look)
    if reply is None:
        reason = Reason.WAITING_FOR_CHILDREN
        reply = sit_out(deps, host, run, claim, reason, wait.look, wait.channels())
    if reply.cycle:
        raise deadlock(deps, run, reply)
    found = insist(lambda: deps.store.get_many(ids))
    return [found[one] for one in ids]


class _Wait:
    """A wait for instances, as often as it is looked at."""

    def __init__(self, deps: Deps, run: Run, ids: list[str], spare: int, claim: str) -> None:
        self._deps, self._run, self._ids = deps, run, ids
        #: how many may still be pending when the wait is over
        self._spare = spare
        self._claim = claim
        self._ask_at = 0.0

    def channels(self) -> list[str]:
        """Where an end is heard of."""
        return [self._deps.gate.channel("done", one) for one in self._ids]

    def look(self, was_woken: bool = False) -> WaitReply | None:
        """What became of the wait; None while it goes on.

        The gate is asked every now and then too: it may have failed the wait, or forgotten it.
        """
        pending = _pending(self._deps, self._ids)
        if len(pending) <= self._spare:
            return WaitReply("over")
        if not was_woken and time.monotonic() < self._ask_at:
            return None
        self._ask_at = time.monotonic() + ASK_AGAIN
        reply = self._deps.gate.begin_wait(
            self._run.instance,
            self._run.attempt,
            self._claim,
            pending,
            len(pending) - self._spare,
        )
        return reply if reply.cycle else None


def sit_out(
    deps: Deps,
    host: Host,
    run: Run,
    claim: str,
    reason: Reason,
    look: Callable[[bool], WaitReply | None],
    channels: Sequence[str],
) -> WaitReply:
    """Wait without a slot until `look` answers something, and answer that with a slot again.

    `look` is called when something is heard on the channels, and from time to time; it is told
    whether the gate has woken this instance.
    """
    try:
        _suspend(deps, host, run, reason)
        with host.running.parked(run):
            reply = _until(deps, run, look, channels)
            _resume(deps, host, run)
    except Exception:
        # The agent may catch this and go on; an attempt that is stopped leaves by itself.
        with suppress(GateUnavailable):
            deps.gate.end_wait(run.instance, claim)
        raise
    return reply


def _until(
    deps: Deps,
    run: Run,
    look: Callable[[bool], WaitReply | None],
    channels: Sequence[str],
) -> WaitReply:
    woken = threading.Event()
    call = deps.gate.channel("woken", run.id)
    with (
        deps.notifier.bell([*channels, call]) as bell,
        deps.notifier.listen([call], lambda _: woken.set()),
        run.waking(bell),
    ):
        while True:
            run.check()
            was_woken = woken.is_set()
            woken.clear()
            if (reply := insist(lambda: look(was_woken))) is not None:  # noqa: B023  # called at once
                return reply
            bell.wait(LOOK_AGAIN)
            bell.clear()


def deadlock(deps: Deps, run: Run, reply: WaitReply) -> DeadlockDetected:
    """The error for the one whose wait has to fail, after it was put into its audit trail."""
    note_deadlock(deps, run, reply.cycle)
    return DeadlockDetected(reply.cycle)


def note_deadlock(deps: Deps, run: Run, cycle: Sequence[WaitNode]) -> None:
    """Put a circle of waits into the audit trail of the one whose wait had to fail."""
    nodes = [node.to_dict() for node in cycle]
    insist(lambda: deps.store.note(run.id, "deadlock_detected", {"cycle": nodes}))
    log.warning("deadlock.detected", instance=run.id, cycle=chain_of(cycle))


def _pending(deps: Deps, ids: Sequence[str]) -> list[str]:
    standings = deps.store.standings(ids)
    for one in ids:
        if one not in standings:
            raise InstanceNotFound(one)
    return [one for one in ids if not standings[one].state.is_terminal]


def _suspend(deps: Deps, host: Host, run: Run, reason: Reason) -> None:
    if not insist(lambda: deps.store.park(run.id, run.attempt, reason)):
        raise run.fenced()
    insist(lambda: deps.gate.suspend(run.id, run.attempt, host.worker))


def _resume(deps: Deps, host: Host, run: Run) -> None:
    """Get a slot again and go on as a new attempt."""
    if not insist(lambda: deps.store.resume(run.id, run.attempt)):
        raise run.fenced()
    attempt = _wait_for_slot(deps, host, run)
    if insist(lambda: deps.store.begin(run.id, attempt, host.worker)) is None:
        raise run.fenced()
    run.attempt = attempt
    run.check()


def _wait_for_slot(deps: Deps, host: Host, run: Run) -> int:
    """The number of the new attempt once the gate has given it a slot."""
    channels = deps.gate.channels("granted", host.worker)
    with deps.notifier.bell(channels) as bell, run.waking(bell):
        seen = insist(lambda: deps.gate.resume(run.id, run.attempt))
        while not (seen.place == "dispatched" and seen.attempt > run.attempt):
            run.check()
            if not seen.place:
                raise run.fenced()
            bell.wait(LOOK_AGAIN)
            bell.clear()
            seen = insist(lambda: deps.gate.glance(run.id))
        return seen.attempt
