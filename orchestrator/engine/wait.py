"""wait: until others have ended, holding no slot meanwhile.

A parent that kept its slot while its children need slots would end in deadlock, so a waiting
attempt gives its slot back and asks for a new one, ahead of new work, before it goes on. Its
thread stays: it is the pool's business to run another attempt in its place.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import nullcontext

from orchestrator.domain.errors import InstanceNotFound, ResultPending
from orchestrator.domain.instance import Instance
from orchestrator.engine.deps import Deps
from orchestrator.engine.execute import Host
from orchestrator.engine.patience import insist
from orchestrator.engine.running import Run, Stop, StopReason

#: Seconds between looks of a waiter that hears nothing: hints may be lost.
LOOK_AGAIN = 1.0


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
                pending = insist(lambda: _pending(deps, ids))
    found = insist(lambda: deps.store.get_many(ids))
    return [found[one] for one in ids]


def wait_suspended(deps: Deps, host: Host, run: Run, ids: Sequence[str]) -> list[Instance]:
    """Like `wait_ended`, for a running attempt: without a slot while it waits."""
    run.check()
    if not insist(lambda: _pending(deps, ids)):
        return wait_ended(deps, ids)
    _suspend(deps, host, run)
    with host.running.parked(run):
        ended = wait_ended(deps, ids, run=run)
        _resume(deps, host, run)
    return ended


def _pending(deps: Deps, ids: Sequence[str]) -> list[str]:
    standings = deps.store.standings(ids)
    for one in ids:
        if one not in standings:
            raise InstanceNotFound(one)
    return [one for one in ids if not standings[one].state.is_terminal]


def _suspend(deps: Deps, host: Host, run: Run) -> None:
    if not insist(lambda: deps.store.suspend(run.id, run.attempt)):
        raise _fenced(run)
    insist(lambda: deps.gate.suspend(run.id, run.attempt, host.worker))


def _resume(deps: Deps, host: Host, run: Run) -> None:
    """Get a slot again and go on as a new attempt."""
    if not insist(lambda: deps.store.resume(run.id, run.attempt)):
        raise _fenced(run)
    attempt = _wait_for_slot(deps, host, run)
    if insist(lambda: deps.store.begin(run.id, attempt, host.worker)) is None:
        raise _fenced(run)
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
                raise _fenced(run)
            bell.wait(LOOK_AGAIN)
            bell.clear()
            seen = insist(lambda: deps.gate.glance(run.id))
        return seen.attempt


def _fenced(run: Run) -> Stop:
    run.stop(StopReason.FENCED)
    return Stop(run.reason or StopReason.FENCED)
