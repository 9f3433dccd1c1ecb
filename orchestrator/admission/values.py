"""Instances as the arguments of scripts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime

from orchestrator.admission.accounts import budget_text
from orchestrator.domain.instance import Instance, NewInstance, Parent
from orchestrator.domain.lifecycle import State


def describe(instance: Instance | NewInstance) -> dict[str, object]:
    """Whose it is and where it belongs."""
    parent = instance.parent if isinstance(instance, NewInstance) else instance.parent_id
    return {
        "id": instance.id,
        "session": instance.session,
        "tenant": instance.tenant,
        "pool": instance.pool,
        "agent": instance.agent,
        "priority": int(instance.priority),
        "depth": instance.depth,
        "parent": parent.id if isinstance(parent, Parent) else parent or "",
        "budget": budget_text(instance.budget),
        "preemptible": int(instance.preemptible),
    }


def milliseconds_until(time: datetime | None) -> int:
    """How long to wait by this process's clock; only the length of a backoff hangs on it."""
    return 0 if time is None else max(0, round((time - datetime.now(UTC)).total_seconds() * 1000))


def check_in_values(new: NewInstance, on_limit: str, *, held: bool = False) -> dict[str, object]:
    """The arguments of `lua/check_in.lua`."""
    return describe(new) | {
        "parent_attempt": new.parent.attempt if new.parent else 0,
        "on_limit": on_limit,
        "delay_ms": milliseconds_until(new.not_before),
        "held": int(held),
    }


def follow_values(new: NewInstance) -> dict[str, object]:
    """The arguments of `lua/follow.lua`."""
    return describe(new) | {
        "attempt": 0,
        "cost": or_empty(new.cost),
        "delay_ms": milliseconds_until(new.not_before),
        "ttl_ms": time_to_live(new),
    }


def adopt_values(instance: Instance) -> dict[str, object]:
    """The arguments of `lua/adopt.lua`."""
    return describe(instance) | {
        "attempt": instance.attempt,
        "cost": or_empty(instance.cost),
        "state": instance.state,
        "delay_ms": milliseconds_until(instance.not_before),
        "ttl_ms": time_to_live(instance),
        "worker": instance.worker or "",
        "wait": _wait_text(instance),
    }


def hold_values(
    new: NewInstance | Instance, targets: Sequence[str], needs: int
) -> dict[str, object]:
    """The arguments of `lua/hold.lua`."""
    return describe(new) | {
        "cost": or_empty(new.cost),
        "delay_ms": milliseconds_until(new.not_before),
        "ttl_ms": time_to_live(new),
        "needs": needs,
        "targets": list(dict.fromkeys(targets)),
    }


def _wait_text(instance: Instance) -> str:
    """What an instance waits for with nobody there, and the locks it keeps, as JSON; or nothing."""
    first = instance.depends_on if instance.attempt == 0 else None
    if first is not None:
        return json.dumps({"kind": "after", "needs": len(first.ids), "targets": first.ids})
    wait = instance.wait
    if wait is None or instance.state not in (State.WAITING, State.QUEUED):
        return ""
    fields: dict[str, object] = {
        "kind": wait.kind,
        "claim": wait.claim,
        "needs": wait.needs,
        "targets": wait.targets,
        "lock": wait.name,
        "locks": [asdict(lock) for lock in wait.locks],
    }
    if wait.until is not None:
        fields["wake_ms"] = max(1, milliseconds_until(wait.until))
    return json.dumps(fields)


def time_to_live(instance: Instance | NewInstance) -> int:
    """Milliseconds it may still wait for its first start; 0: as long as it takes."""
    if instance.expires_at is None:
        return 0
    return max(1, milliseconds_until(instance.expires_at))


def or_empty(value: float | None) -> object:
    """A number as scripts take one that may be missing."""
    return "" if value is None else value
