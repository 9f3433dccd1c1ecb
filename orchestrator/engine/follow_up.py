"""follow_up: tell the gate of spawns that were recorded inside callers' transactions."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.domain.lifecycle import State
from orchestrator.engine.adopt import adopt
from orchestrator.engine.deps import Deps


def follow_up(deps: Deps, ids: Sequence[str]) -> int:
    """Put recorded instances that the gate does not know in line; answers how many."""
    missing = deps.gate.unknown(ids)
    rows = deps.store.get_many(missing) if missing else {}
    queued = [row for row in rows.values() if row.state is State.QUEUED]
    adopt(deps, queued)
    if queued:
        deps.gate.pump()
    return len(queued)
