"""What scripts answer, as values."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.admission.accounts import owner_of
from orchestrator.domain.budget import from_units
from orchestrator.domain.verdict import Decision, Refusal, Verdict


@dataclass(frozen=True)
class Pulse:
    """The gate's answer to a heartbeat."""

    #: there is more to hand out than one call may
    more: bool
    #: seconds until the next delayed instance is due; None when there is none
    next_due: float | None
    #: instances this worker may have lost the right to run
    doubtful: frozenset[str]


@dataclass(frozen=True)
class Sweep:
    """Expired places claimed for judgement."""

    more: bool
    #: id and newest attempt of each
    expired: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Glance:
    """Where the gate has an instance. `place` is empty when it does not know it."""

    place: str
    attempt: int
    stop: str


def to_verdict(reply: list[str]) -> Verdict:
    """The answer of `lua/check_in.lua`."""
    decision, refusal, scope, limit, current, retry_after_ms, *budget = reply
    if budget:
        return _of_budget(scope, float(limit), float(current), retry_after_ms, *budget)
    return Verdict(
        Decision(decision),
        Refusal(refusal) if refusal else None,
        scope,
        int(limit) if limit else None,
        int(current) if current else None,
        float(retry_after_ms) / 1000 if retry_after_ms else None,
    )


def _of_budget(
    quantity: str, limit: float, current: float, retry_after_ms: str, account: str, asked: str
) -> Verdict:
    return Verdict(
        Decision.REFUSED,
        Refusal.BUDGET_EXCEEDED,
        quantity,
        from_units(quantity, limit),
        from_units(quantity, current),
        float(retry_after_ms) / 1000 if retry_after_ms else None,
        budget=owner_of(account),
        asked=from_units(quantity, float(asked)),
    )
