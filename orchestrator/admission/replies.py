"""What scripts answer, as values."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.admission.accounts import owner_of
from orchestrator.domain.budget import from_units
from orchestrator.domain.verdict import Decision, Refusal, Verdict
from orchestrator.domain.waits import Stall, WaitNode, from_oldest


@dataclass(frozen=True)
class Pulse:
    """The gate's answer to a heartbeat."""

    #: there is more to hand out than one call may
    more: bool
    #: seconds until the next delayed instance is due; None when there is none
    next_due: float | None
    #: instances this worker may have lost the right to run
    doubtful: frozenset[str]
    #: instances that have to give way to something more urgent
    displaced: frozenset[str] = frozenset()
    #: instances that have no lease here that could be renewed
    unheld: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Sweep:
    """Expired places claimed for judgement."""

    more: bool
    #: id and newest attempt of each, and `QUEUE_TIMEOUT` where it waited too long to be started
    expired: tuple[tuple[str, int, str], ...]


@dataclass(frozen=True)
class Glance:
    """Where the gate has an instance. `place` is empty when it does not know it."""

    place: str
    attempt: int
    stop: str


def to_verdict(reply: list[str]) -> Verdict:
    """The answer of `lua/check_in.lua`."""
    decision, refusal, scope, limit, current, retry_after_ms, *rest = reply
    if refusal == Refusal.BUDGET_EXCEEDED:
        return _of_budget(scope, float(limit), float(current), retry_after_ms, *rest)
    return Verdict(
        Decision(decision),
        Refusal(refusal) if refusal else None,
        scope,
        int(limit) if limit else None,
        int(current) if current else None,
        float(retry_after_ms) / 1000 if retry_after_ms else None,
        holders=tuple(rest),
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


@dataclass(frozen=True)
class WaitReply:
    """What became of a wait, or of the wish for a lock."""

    #: `waiting`, `over`, `unknown` (the gate does not know the attempt as running), `deadlock`;
    #: of a lock also `held` and `full`
    state: str
    #: who waits for whom, told from the oldest instance on
    cycle: tuple[WaitNode, ...] = ()
    #: of a held lock: greater than that of any holder before
    token: int = 0


def to_wait_reply(reply: list[str]) -> WaitReply:
    """The answer of `lua/begin_wait.lua` and `lua/take_lock.lua`."""
    state, *words = reply
    if state == "held":
        return WaitReply(state, token=int(words[0]))
    nodes = [
        WaitNode(name, agent or None, "lock" if kind == "lock" else "instance")
        for kind, name, agent in zip(words[::3], words[1::3], words[2::3], strict=True)
    ]
    return WaitReply(state, from_oldest(nodes))


def to_stalls(reply: list[str]) -> list[Stall]:
    """The answer of `lua/stalls.lua`."""
    now, *words = reply
    rows = zip(*(words[column::6] for column in range(6)), strict=True)
    return [
        Stall(
            scope,
            name,
            int(float(limit)),
            int(waiting),
            holder,
            seconds=(int(now) - int(since)) / 1000 if int(since) else 0.0,
            is_new=since == now,
        )
        for scope, name, limit, waiting, since, holder in rows
    ]
