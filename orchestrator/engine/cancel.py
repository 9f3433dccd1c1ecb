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
    ended = deps.store.cancel([instance_id], Reason.CANCELLED, Reason.PARENT_ENDED)
    deps.gate.cancel(ended or _ended_before(deps, instance_id))
    return ended


def _ended_before(deps: Deps, instance_id: str) -> list[str]:
    """A subtree that had ended already: the gate may not have heard of it, so it is told again."""
    subtree = deps.store.subtree(instance_id)
    if not subtree:
        raise InstanceNotFound(instance_id)
    return [one.id for one in subtree if one.state.is_terminal]
