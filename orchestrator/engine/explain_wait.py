"""What an instance waits for, in words: others, a lock, a message, a time."""

from __future__ import annotations

from datetime import UTC, datetime

from orchestrator.admission.explaining import Situation, Target, Waits
from orchestrator.domain.explanation import Constraint, Explanation
from orchestrator.domain.instance import Instance
from orchestrator.domain.waits import Wait, WaitKind
from orchestrator.engine.deps import Deps


def waiting(deps: Deps, row: Instance, found: Situation | None) -> Explanation:
    """Of an instance whose attempt waits; the gate knows best, then its row."""
    waits = found.waits if found else None
    if waits is not None:
        what, constraints = _of_gate(waits), tuple(_target(one) for one in waits.targets)
    elif row.wait is not None and row.wait.kind is not WaitKind.ENDED:
        what, constraints = _of_row(row.wait), ()
    else:
        what, constraints = _of_children(deps, row)
    until = row.wait.until if row.wait else None
    if until is None:
        summary = f"It waits {what}, and holds no slot meanwhile."
    elif row.wait is not None and row.wait.kind is WaitKind.TIMER:
        summary = f"It sleeps until {_words(until)}, and holds no slot meanwhile."
    else:
        summary = f"It waits {what}, until {_words(until)} at most, and holds no slot meanwhile."
    if until is not None:
        constraints = (*constraints, Constraint("delay", until=until))
    return Explanation(row.id, row.agent, row.state, row.reason, summary, constraints)


def held(row: Instance, found: Situation) -> Explanation:
    """Of a spawn that starts after others."""
    constraints = tuple(_target(one) for one in found.waits.targets) if found.waits else ()
    count = found.waits.needs if found.waits else 0
    summary = f"It starts once {count} more of those that it comes after have ended."
    return Explanation(row.id, row.agent, row.state, row.reason, summary, constraints)


def _of_gate(waits: Waits) -> str:
    first = waits.targets[0]
    if first.is_lock:
        who = f"which {first.holder} holds" if first.holder else "which nobody holds any more"
        return f"for the lock {first.name}, {who}"
    if waits.count == 1:
        return f"for instance {first.name} to end"
    return f"for {waits.needs} of {waits.count} instances to end"


def _of_row(wait: Wait) -> str:
    if wait.kind is WaitKind.SIGNAL:
        return f"for the signal {wait.name}"
    if wait.kind is WaitKind.MESSAGE:
        return f"for a message about {wait.name}" if wait.name else "for a message"
    return f"for the lock {wait.name}" if wait.kind is WaitKind.LOCK else "for a time"


def _of_children(deps: Deps, row: Instance) -> tuple[str, tuple[Constraint, ...]]:
    """What PostgreSQL knows of a wait that the gate has forgotten: children that go on."""
    live = [
        one.id
        for one in deps.store.subtree(row.id)
        if one.parent_id == row.id and not one.state.is_terminal
    ]
    constraints = tuple(Constraint("instance", one, holders=(one,)) for one in live[:10])
    return f"for {len(live)} of its children", constraints


def _target(one: Target) -> Constraint:
    if one.is_lock:
        return Constraint("lock", one.name, holders=(one.holder,) if one.holder else ())
    return Constraint("instance", one.name, holders=(one.name,))


def _words(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
