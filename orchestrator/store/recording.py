"""From a checked spawn to the parameters of the statement that records it."""

from __future__ import annotations

import functools
import json
from typing import Any

from orchestrator.domain.instance import NewInstance
from orchestrator.domain.retry import RetryPolicy
from orchestrator.store.sealer import Sealer


def record_name(new: NewInstance) -> str:
    """The statement that records a spawn."""
    return "record_root" if new.parent is None else "record_child"


def record_values(new: NewInstance, sealer: Sealer) -> dict[str, Any]:
    """Its parameters."""
    values: dict[str, Any] = {
        "id": new.id,
        "agent": new.agent,
        "session": new.session,
        "tenant": new.tenant,
        "pool": new.pool,
        "priority": int(new.priority),
        "depth": new.depth,
        "root_id": new.root_id,
        "args": sealer.seal(new.tenant, new.session, new.args),
        "timeout_seconds": new.timeout_seconds,
        "retry": _retry_text(new.retry),
        "idempotency_key": new.idempotency_key,
        "not_before": new.not_before,
        "expires_at": new.expires_at,
        "cost": new.cost,
        "budget": None if new.budget is None else json.dumps(new.budget.to_dict()),
        "depends_on": None if new.depends_on is None else json.dumps(new.depends_on.to_dict()),
        "preemptible": new.preemptible,
        "retry_of": new.retry_of,
        "progress_timeout": new.progress_timeout,
    }
    if new.parent is not None:
        values |= {
            "parent_id": new.parent.id,
            "parent_attempt": new.parent.attempt,
            "position": new.parent.position,
            "detached": new.detached,
            "on_parent_end": new.on_parent_end,
        }
    return values


@functools.cache
def _retry_text(policy: RetryPolicy) -> str:
    """A policy as JSON text; there are few different ones."""
    return json.dumps(policy.to_dict())
