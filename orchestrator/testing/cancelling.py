"""Cancels a subtree and tells what became of each instance of it."""

from __future__ import annotations

from orchestrator.domain.cancel import CancelledNode, CancelReport, outcome_of
from orchestrator.domain.lifecycle import State
from orchestrator.testing.row import Row
from orchestrator.testing.world import World


def cancel(world: World, instance_id: str) -> CancelReport:
    """Cancel an instance and everything below it. Raises `InstanceNotFound`."""
    top = world.row(instance_id)
    subtree = world.subtree(top)
    before = {row.id: _state(row) for row in subtree}
    ended = set(world.cancel(top))
    nodes = [
        CancelledNode(
            row.id,
            row.instance.agent,
            row.instance.parent_id,
            before[row.id],
            outcome_of(before[row.id], row.id in ended, not row.is_live),
        )
        for row in subtree
    ]
    return CancelReport(tuple(nodes))


def _state(row: Row) -> State:
    return row.instance.state
