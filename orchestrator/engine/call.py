"""call: wait for a turn, take what the call needs, and settle it when it has ended.

The gate says who is first and when to come again, so callers sleep until then instead of trying;
whoever comes first is also told when something has become free before that.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass

from orchestrator.admission.calls import Caller
from orchestrator.domain.call import Amounts, CallRecord, CallVerdict, Outcome
from orchestrator.domain.errors import InvalidRequest, OrchestratorError
from orchestrator.domain.ids import new_id
from orchestrator.domain.names import is_identifier
from orchestrator.domain.provider import Hint
from orchestrator.engine.deps import Deps
from orchestrator.engine.patience import insist
from orchestrator.engine.running import Run
from orchestrator.telemetry import metrics
from orchestrator.telemetry.logging import get_logger

log = get_logger("orchestrator.calls")

#: Seconds, and share of the wait, by which callers come later than told, so that they do not
#: all come at once.
MOST_JITTER, JITTER = 0.05, 0.1


@dataclass(frozen=True)
class Wish:
    """A call somebody wants to make."""

    resource: str
    tenant: str
    amounts: Amounts
    #: at a limit: `wait` for a turn, or `refuse`
    on_limit: str = "wait"
    #: seconds to wait at most; None: as long as it takes
    timeout: float | None = None

    def __post_init__(self) -> None:
        if not is_identifier(self.resource):
            raise InvalidRequest(
                "INVALID_RESOURCE",
                f"{self.resource!r} cannot name a resource: use 1 to 100 letters, digits and "
                "_ . / - , beginning with a letter or digit.",
            )
        if self.on_limit not in ("wait", "refuse"):
            raise InvalidRequest(
                "INVALID_ON_LIMIT", f"on_limit is {self.on_limit!r}; it can be wait or refuse."
            )


class RunDesk:
    """Where the calls of one attempt, or of a service, begin and end."""

    def __init__(self, deps: Deps, run: Run | None = None) -> None:
        self._deps, self._run = deps, run

    def begin_call(self, wish: Wish) -> Caller:
        """See `begin`."""
        return begin(self._deps, wish, self._run)

    def end_call(
        self, caller: Caller, wish: Wish, outcome: Outcome, used: Mapping[str, float], hint: Hint
    ) -> None:
        """See `end`."""
        end(self._deps, caller, wish, outcome, used, hint, self._run)


def begin(deps: Deps, wish: Wish, run: Run | None = None) -> Caller:
    """Take what a call needs once it is its turn; raises `CallRefused`, or `Stop` for a run."""
    instance = run.id if run else ""
    caller = Caller(new_id(wish.tenant), wish.resource, wish.tenant, instance)
    may_wait, began = wish.on_limit == "wait", time.monotonic()
    try:
        verdict = insist(lambda: deps.gate.acquire(caller, wish.amounts, may_wait=may_wait))
        if verdict.decision == "wait":
            verdict = _wait_for_turn(deps, wish, caller, verdict, run)
    except BaseException:
        _give_up(deps, caller)
        raise
    if verdict.decision != "taken":
        raise verdict.to_error(wish.resource)
    metrics.CALL_WAIT_SECONDS.observe(time.monotonic() - began, wish.resource)
    deps.calls.add(caller)
    return caller


def end(
    deps: Deps,
    caller: Caller,
    wish: Wish,
    outcome: Outcome,
    used: Mapping[str, float],
    hint: Hint,
    run: Run | None = None,
) -> None:
    """Give back what a call did not use, let its result count, and write it into the ledger."""
    deps.calls.remove(caller)
    amounts = asdict(wish.amounts) | dict(used)
    # All of them: a gate that was emptied meanwhile does not know what was estimated.
    started, ended = insist(lambda: deps.gate.settle_call(caller, outcome, amounts, hint))
    instance = run.instance if run else None
    record = CallRecord(
        id=caller.id,
        resource=caller.resource,
        tenant=caller.tenant,
        outcome=outcome,
        amounts=Amounts(**amounts),
        started_at=started,
        ended_at=ended,
        session=instance.session if instance else None,
        instance_id=instance.id if instance else None,
        attempt=run.attempt if run else None,
        agent=instance.agent if instance else None,
    )
    insist(lambda: deps.store.resources.record_call(record))
    _count(record)


def _count(record: CallRecord) -> None:
    seconds = (record.ended_at - record.started_at).total_seconds()
    metrics.CALL_SECONDS.observe(seconds, record.resource, record.outcome)
    for quantity, amount in asdict(record.amounts).items():
        if amount:
            who = (record.tenant, record.agent or "")
            metrics.USED.add(record.resource, quantity, *who, amount=amount)


def _wait_for_turn(
    deps: Deps, wish: Wish, caller: Caller, verdict: CallVerdict, run: Run | None
) -> CallVerdict:
    """Come again when told to, until the answer is another one than `wait`."""
    deadline = float("inf") if wish.timeout is None else time.monotonic() + wish.timeout
    # Often enough that the ticket, which is a lease, does not run out meanwhile.
    longest = deps.lease / 3
    channel = deps.gate.channel("turn", caller.id)
    with deps.notifier.bell([channel]) as bell, run.waking(bell) if run else nullcontext():
        while verdict.decision == "wait":
            if run is not None:
                run.check()
            left = deadline - time.monotonic()
            if left <= 0:
                _give_up(deps, caller)
                return verdict
            bell.wait(min(left, longest, _pause(verdict.retry_after or 0.0)))
            bell.clear()
            verdict = insist(lambda: deps.gate.acquire(caller, wish.amounts, may_wait=True))
    return verdict


def _pause(retry_after: float) -> float:
    return retry_after + random.uniform(0, min(MOST_JITTER, retry_after * JITTER))


def _give_up(deps: Deps, caller: Caller) -> None:
    try:
        deps.gate.give_up(caller)
    except OrchestratorError as error:
        # Its ticket, or its lease, runs out by itself.
        log.warning("call.not_given_up", call=caller.id, error=error.code)
