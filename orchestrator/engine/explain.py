"""explain: why an instance is not running, who holds what it needs, and when it may start.

Looks only. The gate answers in one script, so what it says is true of one moment; PostgreSQL is
asked for the row, and for what the gate does not know.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

from orchestrator.admission.explaining import FullScope, Line, Pace, Situation
from orchestrator.domain.errors import InstanceNotFound
from orchestrator.domain.explanation import Constraint, Explanation
from orchestrator.domain.forecast import ahead_of
from orchestrator.domain.instance import Instance
from orchestrator.domain.lifecycle import State
from orchestrator.domain.scope import Scope
from orchestrator.engine.deps import Deps
from orchestrator.engine.explain_wait import held, waiting


def explain(deps: Deps, instance_id: str) -> Explanation:
    """Why an instance is where it is; raises `InstanceNotFound`."""
    row = deps.store.get(instance_id)
    if row is None:
        raise InstanceNotFound(instance_id)
    if row.state.is_terminal:
        return _plain(row, f"It has {_ENDED[row.state]}{_because(row)}.")
    found = deps.gate.explain(instance_id)
    if row.state is State.RUNNING:
        return _plain(row, f"It runs, as attempt {row.attempt}, on {row.worker}.")
    if row.paused_at is not None:
        return _paused(row)
    if row.state is State.WAITING and not (found and found.place in _OF_PLACE):
        return waiting(deps, row, found)
    if found is None:
        return _plain(
            row, "It is recorded, but the gate does not know it yet; within a minute it will."
        )
    explanation = _OF_PLACE.get(found.place, _of_any_place)(row, found)
    return _with_pauses(deps, row, explanation)


_ENDED = {State.COMPLETED: "completed", State.FAILED: "failed", State.CANCELLED: "been cancelled"}


def _plain(row: Instance, summary: str) -> Explanation:
    return Explanation(row.id, row.agent, row.state, row.reason, summary)


def _because(row: Instance) -> str:
    return f": {row.reason}" if row.reason else ""


# --- paused -----------------------------------------------------------------------------------


def _paused(row: Instance) -> Explanation:
    assert row.paused_at is not None
    summary = (
        f"It is paused since {row.paused_at:%Y-%m-%d %H:%M:%S} UTC. "
        f"`orchestrator resume instance:{row.id}` lets it go on."
    )
    return Explanation(
        row.id, row.agent, row.state, row.reason, summary, (Constraint("pause", row.id),)
    )


def _with_pauses(deps: Deps, row: Instance, found: Explanation) -> Explanation:
    """The explanation; where a scope of it is paused, that comes first."""
    mine = (
        Scope("session", row.session, row.tenant),
        Scope("agent", row.agent),
        Scope("pool", row.pool),
        Scope("tenant", row.tenant),
        Scope("global"),
    )
    if not any(one.limit == 0 for one in found.constraints):
        return found
    paused = deps.store.limits.newest().paused()
    for scope in mine:
        if scope in paused:
            by = f" by {paused[scope].set_by}" if paused[scope].set_by else ""
            summary = (
                f"{scope} is paused since {paused[scope].set_at:%Y-%m-%d %H:%M:%S} UTC{by}. "
                f"`orchestrator resume {scope}` lets it go on."
            )
            return replace(found, summary=summary)
    return found


# --- in the gate ----------------------------------------------------------------------------


def _dispatched(row: Instance, found: Situation) -> Explanation:
    return Explanation(
        row.id,
        row.agent,
        State.DISPATCHED,
        row.reason,
        f"It has a slot and was handed out; a worker of the pool {row.pool} is about to begin it.",
        (Constraint("begin", row.pool, until=_time(found.until)),),
    )


def _delayed(row: Instance, found: Situation) -> Explanation:
    due = _time(found.until)
    assert due is not None
    return Explanation(
        row.id,
        row.agent,
        row.state,
        row.reason,
        f"It is not to start before {due:%Y-%m-%d %H:%M:%S} UTC{_because(row)}.",
        (Constraint("delay", until=due),),
        expected_start=due,
    )


def _queued(row: Instance, found: Situation) -> Explanation:
    assert found.line is not None
    line = found.line
    stopped = (Constraint("breaker", one.resource, until=_time(one.until)) for one in found.stopped)
    constraints = (*(_constraint(row, one) for one in found.full), *stopped)
    ahead = min(ahead_of(line.mine, line.before_in_flow, line.others), line.backlog - 1)
    seconds = _seconds_until_start(found, line, found.pace, ahead)
    start = None if seconds is None else datetime.fromtimestamp(found.now + seconds, UTC)
    return Explanation(
        row.id,
        row.agent,
        row.state,
        row.reason,
        _summary(constraints, ahead),
        constraints,
        position_in_flow=line.before_in_flow + 1,
        flow_length=line.flow_length,
        position=ahead + 1,
        waiting=line.backlog,
        expected_start=start,
    )


def _of_any_place(row: Instance, found: Situation) -> Explanation:
    return _plain(row, f"The gate has it as {found.place}; within seconds it goes on from there.")


_OF_PLACE = {
    "queued": _queued,
    "delayed": _delayed,
    "dispatched": _dispatched,
    "admitted": _dispatched,
    "held": held,
}


def _constraint(row: Instance, full: FullScope) -> Constraint:
    names = {
        "session": str(Scope("session", row.session, row.tenant)).partition(":")[2],
        "tenant": row.tenant,
        "agent": row.agent,
        "pool": row.pool,
        "workers": row.pool,
    }
    return Constraint(full.scope, names.get(full.scope, ""), full.limit, full.used, full.holders)


def _summary(constraints: tuple[Constraint, ...], ahead: int) -> str:
    if not constraints:
        return f"Nothing but its turn holds it up: about {ahead} start before it."
    first = constraints[0]
    if first.kind == "breaker":
        return (
            f"The breaker of the resource {first.name} is open until {first.until:%H:%M:%S} UTC; "
            "instances that need it wait, and lose no attempt."
        )
    if first.kind == "workers" and not first.limit:
        return f"No live worker offers a slot to the pool {first.name}."
    whose = _SCOPES[first.kind].format(first.name)
    if not first.limit:
        return f"The limit of {whose} is 0: it is paused."
    return f"{first.used} of {first.limit:g} slots of {whose} are in use."


_SCOPES = {
    "session": "the session {}",
    "tenant": "the tenant {}",
    "agent": "the agent {}",
    "pool": "the pool {}",
    "global": "the whole gate",
    "workers": "the live workers of the pool {}",
}


def _seconds_until_start(
    found: Situation, line: Line, pace: Pace | None, ahead: int
) -> float | None:
    """None where nothing has moved lately, or where a bound is 0."""
    if pace is None or any(not one.limit for one in found.full):
        return None
    return max(_estimates(found, line, pace, ahead), default=None)


def _estimates(found: Situation, line: Line, pace: Pace, ahead: int) -> Iterator[float]:
    """What each thing that may hold it up lets one expect."""
    if pace.drained:
        yield (ahead + 1) * pace.window / pace.drained
    if pace.mean is not None:
        for one in found.full:
            turns = line.before_in_flow + 1 if one.scope == "session" else ahead + 1
            # Of so many slots, one is free after this share of the time each is held.
            yield turns * pace.mean / one.limit


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
