"""The gate's part in explaining why an instance is not running."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.admission.caller import ScriptCaller
from orchestrator.domain.forecast import Flow

#: How many holders of a bound are named, and how many flows are counted to find a place.
MOST_HOLDERS, MOST_FLOWS = 10, 256


@dataclass(frozen=True)
class FullScope:
    """A bound that is met."""

    scope: str
    limit: float
    used: int
    holders: tuple[str, ...]


@dataclass(frozen=True)
class Stopped:
    """A resource whose breaker is open."""

    resource: str
    #: when it may be tried again, in seconds since the epoch
    until: float


@dataclass(frozen=True)
class Line:
    """Where an instance stands among those who wait. Counts from 0."""

    mine: Flow
    before_in_flow: int
    flow_length: int
    #: the other flows of the pool, or `MOST_FLOWS` of them
    others: tuple[Flow, ...]
    #: whether nothing holds up all that wait in this line
    is_open: bool
    #: all that wait in the gate
    backlog: int


@dataclass(frozen=True)
class Pace:
    """How fast the queue moves."""

    #: how many left it in how many seconds
    drained: int
    window: float
    #: seconds that instances of this kind hold a slot, on average; None when none has yet
    mean: float | None


@dataclass(frozen=True)
class Target:
    """What an instance waits for."""

    #: the id of an instance, or the name of a lock
    name: str
    is_lock: bool
    #: the instance that holds the lock, if any does
    holder: str | None


@dataclass(frozen=True)
class Waits:
    """What an instance waits for: so many of so many, up to `MOST_HOLDERS` of them by name."""

    needs: int
    count: int
    targets: tuple[Target, ...]


@dataclass(frozen=True)
class Situation:
    """What the gate knows of an instance. Times are seconds since the epoch, by its clock."""

    place: str
    attempt: int
    now: float
    since: float | None
    until: float | None
    full: tuple[FullScope, ...]
    #: resources of its agent that nobody may call now
    stopped: tuple[Stopped, ...]
    line: Line | None
    pace: Pace | None
    waits: Waits | None


class ExplainCalls(ScriptCaller):
    """One method a script."""

    def explain(self, instance_id: str) -> Situation | None:
        """Where an instance is and what holds it up; None when the gate does not know it."""
        values = {"most_holders": MOST_HOLDERS, "most_flows": MOST_FLOWS}
        reply = self._run("explain", id=instance_id, **values)
        return _to_situation(reply) if reply else None


def _to_situation(reply: Sequence[Any]) -> Situation:
    (now, place, attempt, since, until), full, stopped, line, flows, pace, waits = reply
    return Situation(
        place=place,
        attempt=int(attempt),
        now=float(now) / 1000,
        since=_seconds(since),
        until=_seconds(until),
        full=tuple(
            FullScope(scope, float(limit), int(float(used)), tuple(holders))
            for scope, limit, used, holders in full
        ),
        stopped=tuple(Stopped(name, float(again) / 1000) for name, again in stopped),
        line=_to_line(line, flows) if line else None,
        pace=_to_pace(*pace) if pace else None,
        waits=_to_waits(waits) if waits else None,
    )


def _to_line(line: Sequence[str], flows: Sequence[Sequence[str]]) -> Line:
    tenant, session, is_open, rank, length, more_urgent, as_urgent, backlog, *standing = line
    mine = _to_flow((tenant, session, more_urgent, as_urgent, *standing), None)
    return Line(
        mine=mine,
        before_in_flow=int(rank),
        flow_length=int(length),
        others=tuple(_to_flow(flow, standing) for flow in flows),
        is_open=is_open == "1",
        backlog=int(backlog),
    )


def _to_flow(row: Sequence[str], mine: Sequence[str] | None) -> Flow:
    """A row of the reply; `mine` is the standing of the flow that it is compared with."""
    tenant, session, more_urgent, as_urgent, weight, tenant_weight, *scores = row
    before = [
        mine is not None and bool(score) and (not own or float(score) < float(own))
        for score, own in zip(scores, mine[2:] if mine else ("", ""), strict=True)
    ]
    return Flow(
        tenant=tenant,
        session=session,
        more_urgent=int(more_urgent),
        as_urgent=int(as_urgent),
        weight=float(weight),
        tenant_weight=float(tenant_weight),
        is_before=before[0],
        tenant_is_before=before[1],
    )


def _to_pace(drained: str, window_ms: str, mean_ms: str) -> Pace:
    return Pace(int(drained), float(window_ms) / 1000, _seconds(mean_ms))


def _to_waits(reply: Sequence[str]) -> Waits:
    needs, count, *flat = reply
    pairs = zip(flat[::2], flat[1::2], strict=True)
    return Waits(int(needs), int(count), tuple(_to_target(node, holder) for node, holder in pairs))


def _to_target(node: str, holder: str) -> Target:
    # A lock is named by the length of its tenant's name and both; see `lua/lib/nodes.lua`.
    if not node.startswith("lock:"):
        return Target(node, False, None)
    length, _, labels = node.removeprefix("lock:").partition(" ")
    name = labels.encode()[int(length) :].decode()
    return Target(name, True, holder or None)


def _seconds(milliseconds: str) -> float | None:
    return float(milliseconds) / 1000 if milliseconds and milliseconds != "inf" else None
