"""From rows to values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from orchestrator.domain.budget import Budget
from orchestrator.domain.instance import AgentSpec, Event, Instance, TreeNode
from orchestrator.domain.lifecycle import State
from orchestrator.domain.priority import Priority
from orchestrator.domain.retry import RetryPolicy
from orchestrator.domain.waits import Dependencies, Wait

Row = dict[str, Any]


def to_instance(row: Row) -> Instance:
    """A row of `instances`."""
    return Instance(
        id=str(row["id"]),
        agent=row["agent"],
        session=row["session"],
        tenant=row["tenant"],
        pool=row["pool"],
        priority=Priority(row["priority"]),
        parent_id=None if row["parent_id"] is None else str(row["parent_id"]),
        root_id=str(row["root_id"]),
        depth=row["depth"],
        state=State(row["state"]),
        reason=row["reason"],
        attempt=row["attempt"],
        failures=row["failures"],
        timeout_seconds=row["timeout_seconds"],
        retry=RetryPolicy.from_dict(row["retry"]),
        args=row["args"],
        result=row["result"],
        error=row["error"],
        worker=row["worker"],
        not_before=row["not_before"],
        expires_at=row["expires_at"],
        cost=row["cost"],
        budget=None if row["budget"] is None else Budget.from_dict(row["budget"]),
        created_at=row["created_at"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        wait=None if row["wait"] is None else Wait.from_dict(row["wait"]),
        depends_on=(
            None if row["depends_on"] is None else Dependencies.from_dict(row["depends_on"])
        ),
        history=row["history"],
        superseded=row["superseded"],
        detached=row["detached"],
        on_parent_end=row["on_parent_end"],
        preemptible=row["preemptible"],
        progress=row["progress"],
        paused_at=row["paused_at"],
        retry_of=None if row["retry_of"] is None else str(row["retry_of"]),
        progress_timeout=row["progress_timeout"],
    )


def to_event(row: Row) -> Event:
    """A row of `events`."""
    before = row["from_state"]
    return Event(
        sequence=row["sequence"],
        instance_id=str(row["instance_id"]),
        session=row["session"],
        tenant=row["tenant"],
        agent=row["agent"],
        from_state=None if before is None else State(before),
        to_state=State(row["to_state"]),
        reason=row["reason"],
        attempt=row["attempt"],
        worker=row["worker"],
        at=row["at"],
        kind=row["kind"],
        detail=row["detail"],
    )


def to_spec(row: Row) -> AgentSpec:
    """A row of `agents`."""
    spec = row["spec"]
    return AgentSpec(
        name=row["name"],
        pool=spec["pool"],
        timeout=spec["timeout"],
        retry=RetryPolicy.from_dict(spec["retry"]),
        resources=tuple(spec["resources"]),
        parameters=tuple(spec["parameters"]),
        required=tuple(spec["required"]),
        takes_any=spec["takes_any"],
        # Written by every worker since it exists; older rows do without.
        preemptible=spec.get("preemptible", True),
        progress_timeout=spec.get("progress_timeout"),
    )


def from_spec(spec: AgentSpec) -> Row:
    """The JSON that `to_spec` reads."""
    return {
        "pool": spec.pool,
        "timeout": spec.timeout,
        "retry": spec.retry.to_dict(),
        "resources": list(spec.resources),
        "parameters": list(spec.parameters),
        "required": list(spec.required),
        "takes_any": spec.takes_any,
        "preemptible": spec.preemptible,
        "progress_timeout": spec.progress_timeout,
    }


def to_trees(instances: Sequence[Instance]) -> list[TreeNode]:
    """The trees these instances make; those whose parent is not among them are the roots."""
    present = {instance.id for instance in instances}
    children: dict[str, list[Instance]] = {}
    for instance in instances:
        if instance.parent_id in present:
            children.setdefault(str(instance.parent_id), []).append(instance)
    roots = (one for one in instances if one.parent_id not in present)
    return list(_grow(roots, children))


def _grow(instances: Iterable[Instance], children: dict[str, list[Instance]]) -> Iterable[TreeNode]:
    for instance in instances:
        below = _grow(children.get(instance.id, ()), children)
        yield TreeNode(instance, tuple(below))
