"""cancel: end an instance and everything below it.

The rows of the whole subtree end in one transaction, level by level from the top. A child that
is being spawned meanwhile is either seen by it or refused, because both lock the parent's row.
Then the gate takes queued ones out of line and has running ones stopped; those keep their slots
until their code has really ended.
"""

from __future__ import annotations

from orchestrator.domain.errors import InstanceNotFound
from orchestrator.domain.lifecycle import Reason
from orchestrator.engine.deps import Deps


def cancel(deps: Deps, instance_id: str) -> list[str]:
    """Cancel a subtree; answers the ids that were live until now, none if it had ended."""
    if deps.store.get(instance_id) is None:
        raise InstanceNotFound(instance_id)
    ended = deps.store.cancel([instance_id], Reason.CANCELLED, Reason.PARENT_ENDED)
    if ended:
        deps.gate.cancel(ended)
    return ended
