"""reap: no live instance below an ended one. Every minute, by one of the beats.

Ending an instance ends everything below it in the same transaction, so there should be nothing
to find. The reaper is the promise that this holds whatever happened.
"""

from __future__ import annotations

from orchestrator.domain.lifecycle import Reason
from orchestrator.domain.report import Report
from orchestrator.engine.deps import Deps

#: How many orphaned subtrees one round ends.
BUDGET = 500


def run_once(deps: Deps) -> Report:
    """Cancel every subtree whose parent has ended."""
    tops = deps.store.orphans(BUDGET)
    ended: list[str] = []
    if tops:
        ended = deps.store.cancel(tops, Reason.PARENT_ENDED, Reason.PARENT_ENDED)
        deps.gate.cancel(ended)
    return Report("reap", orphans=len(ended), more=len(tops) == BUDGET)
