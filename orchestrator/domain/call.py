"""One call of a resource: what it takes, how it ended, and the gate's answer to it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum

from orchestrator.domain.errors import CallRefused, InvalidRequest


class Outcome(StrEnum):
    """How a call ended, as far as the breaker is concerned."""

    #: the resource did what it was asked to
    SUCCESS = "success"
    #: the resource failed or did not answer; it may do better later
    TRANSIENT = "transient"
    #: the resource says that it is asked too often
    RATE_LIMITED = "rate_limited"
    #: the fault lies with the one who called; it says nothing about the resource
    CALLER = "caller"


class CallRefusal(StrEnum):
    """Why a call may not be made."""

    RATE_LIMITED = "RATE_LIMITED"
    RESOURCE_BUSY = "RESOURCE_BUSY"
    BREAKER_OPEN = "BREAKER_OPEN"
    BUDGET_EXCEEDED = "BUDGET_EXCEEDED"
    COST_TOO_LARGE = "COST_TOO_LARGE"


@dataclass(frozen=True)
class Amounts:
    """What a call takes of a resource. Tokens and money are estimates until it has ended."""

    requests: float = 1
    input_tokens: float = 0
    output_tokens: float = 0
    usd: float = 0

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            # Said this way round, NaN is refused too. Above 2**53 doubles skip numbers.
            if isinstance(value, bool) or not 0 <= value < 2**53:
                raise InvalidRequest(
                    "INVALID_AMOUNT", f"{one.name} is {value!r}; give a number of 0 or more."
                )


@dataclass(frozen=True)
class CallVerdict:
    """What the gate decided about one call."""

    #: `taken`, `wait` (come again after `retry_after`) or `refused`
    decision: str
    refusal: CallRefusal | None = None
    #: what is short: a bucket, `concurrency`, `ramp`, `provider`, `turn`, `breaker`, or a budget
    scope: str = ""
    #: seconds after which the same call may be made; None when no waiting helps
    retry_after: float | None = None
    #: how many callers stand before this one
    ahead: int = 0

    def to_error(self, resource: str) -> CallRefused:
        """The refusal as the exception that callers meet."""
        assert self.refusal is not None
        later = "" if self.retry_after is None else f" Repeat after {self.retry_after:.1f} s."
        return CallRefused(
            self.refusal,
            _WORDS[self.refusal].format(resource=resource, scope=self.scope) + later,
            resource=resource,
            scope=self.scope,
            retry_after=self.retry_after,
        )


_WORDS = {
    CallRefusal.RATE_LIMITED: "The limit of {resource} is used up ({scope}).",
    CallRefusal.RESOURCE_BUSY: "As many calls of {resource} are under way as may be ({scope}).",
    CallRefusal.BREAKER_OPEN: (
        "Calls of {resource} are stopped because too many failed, or by an operator; "
        "`orchestrator breakers` shows it."
    ),
    CallRefusal.BUDGET_EXCEEDED: "The budget does not allow this call of {resource} ({scope}).",
    CallRefusal.COST_TOO_LARGE: (
        "This call of {resource} takes more {scope} than may ever come at once. Make it smaller, "
        "or raise the limit or token_burst of the resource."
    ),
}


@dataclass(frozen=True)
class CallRecord:
    """One line of the ledger of calls. Times are aware and in UTC."""

    id: str
    resource: str
    tenant: str
    outcome: Outcome
    amounts: Amounts
    started_at: datetime
    ended_at: datetime
    session: str | None = None
    instance_id: str | None = None
    attempt: int | None = None
    agent: str | None = None
    budget_id: str | None = None


@dataclass(frozen=True)
class Breaker:
    """A breaker as the gate has it now. Times are seconds from now."""

    resource: str
    #: whose it is, where each tenant has one of its own
    tenant: str | None
    #: `closed`, `open` or `half_open`
    state: str
    #: `open` or `closed` when an operator has decided it
    forced: str | None
    #: failures one after another, and how often it has tripped since all was well
    failures: int
    trips: int
    #: until calls are let through again, where it is open
    retry_after: float | None
    #: calls under way, and callers that wait for their turn
    calls: int
    waiting: int
    #: what is left in each bucket; below zero where calls took more than they had said
    levels: dict[str, float]

    def to_dict(self) -> dict[str, object]:
        """The breaker as JSON."""
        return {one.name: getattr(self, one.name) for one in fields(self)}
