"""Values for tests, with everything filled in that a test does not care about."""

from __future__ import annotations

from typing import Any

from orchestrator.domain.ids import new_id
from orchestrator.domain.instance import Instance, NewInstance, Parent
from orchestrator.domain.priority import Priority
from orchestrator.domain.retry import RetryPolicy


def spawn_of(parent: Parent | None = None, **fields: Any) -> NewInstance:
    """A checked spawn, below `parent` if there is one."""
    tenant = fields.setdefault("tenant", parent.tenant if parent else "tenant")
    instance_id = fields.pop("id", None) or new_id(tenant)
    values: dict[str, Any] = {
        "id": instance_id,
        "agent": "work",
        "session": parent.session if parent else "session",
        "pool": "default",
        "priority": Priority.NORMAL,
        "depth": parent.depth + 1 if parent else 0,
        "root_id": parent.root_id if parent else instance_id,
        "args": "{}",
        "timeout_seconds": 60.0,
        "retry": RetryPolicy(),
        "parent": parent,
    }
    return NewInstance(**values | fields)


def parent_of(instance: Instance, position: int = 0) -> Parent:
    """A running instance as the parent of its next spawn."""
    return Parent(
        id=instance.id,
        attempt=instance.attempt,
        session=instance.session,
        tenant=instance.tenant,
        root_id=instance.root_id,
        depth=instance.depth,
        position=position,
    )
