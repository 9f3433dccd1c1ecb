"""retry: run an instance that has ended again, from its last good step.

A terminal state never changes, so this is a new instance. It takes over the journal of the old one
up to where that failed, and the children that ended before as they ended; what the agent does then
runs for the first time. The old one's parent has seen its failure, so the new one is a root.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from orchestrator.domain.errors import InstanceNotFound, InvalidRequest
from orchestrator.domain.instance import Instance, SpawnRequest
from orchestrator.domain.lifecycle import State
from orchestrator.engine.budgets import fix_deadline
from orchestrator.engine.deps import Deps
from orchestrator.engine.prepare import prepare
from orchestrator.engine.spawn import accept
from orchestrator.store.control import Inheritance
from orchestrator.telemetry.logging import get_logger

log = get_logger("orchestrator.retry")

#: After every position that a journal can have.
END = 2**31 - 1


def retry(deps: Deps, instance_id: str) -> str:
    """The id of the instance that does the work again; of the same one while it is live."""
    old = _ended(deps, instance_id)
    origin = old.retry_of or old.id
    under_way = deps.store.control.live_retry(origin)
    if under_way is not None:
        return under_way.id
    new = fix_deadline(deps, replace(prepare(deps, _request(old)), retry_of=origin))
    if accept(deps, new, lambda: deps.store.control.record_again(new, _inheritance(old))):
        log.info("instance.retried", instance=old.id, again=new.id)
        return new.id
    # Somebody else was faster.
    under_way = deps.store.control.live_retry(origin)
    return retry(deps, instance_id) if under_way is None else under_way.id


def _ended(deps: Deps, instance_id: str) -> Instance:
    old = deps.store.get(instance_id)
    if old is None:
        raise InstanceNotFound(instance_id)
    if old.state is State.COMPLETED:
        raise InvalidRequest(
            "HAS_COMPLETED",
            f"Instance {instance_id} has completed. Spawn its agent to do its work once more.",
        )
    if not old.state.is_terminal:
        raise InvalidRequest(
            "NOT_ENDED",
            f"Instance {instance_id} is {old.state}. Only what has failed or was cancelled can be "
            "run again.",
        )
    return old


def _request(old: Instance) -> SpawnRequest:
    return SpawnRequest(
        old.agent,
        old.args,
        session=old.session,
        tenant=old.tenant,
        priority=old.priority,
        timeout=old.timeout_seconds,
        pool=old.pool,
        cost=old.cost,
        budget=old.budget,
        preemptible=old.preemptible,
        progress_timeout=old.progress_timeout,
    )


def _inheritance(old: Instance) -> Inheritance:
    """What is recorded up to the failure; all of it where the code itself did not fail."""
    told: dict[str, Any] = (old.error or {}).get("rewind") or {}
    return Inheritance(old.id, told.get("position", END), tuple(told.get("children", ())))
