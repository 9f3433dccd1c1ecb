"""retain: parts of the audit trail for the coming months, and none that is too old. Every hour.

Seals stay when events go: what is left can be verified from its first event on.
"""

from __future__ import annotations

from datetime import timedelta

from orchestrator.domain.report import Report
from orchestrator.engine.deps import Deps

#: Months for which there is a part already: a beat may be away that long.
AHEAD = 3


def run_once(deps: Deps) -> Report:
    """Make the parts that are missing; drop those that are older than `audit_retention`."""
    made, dropped = deps.store.audit.make_parts(AHEAD), 0
    if deps.audit_retention is not None:
        before = deps.store.clock() - timedelta(seconds=deps.audit_retention)
        dropped = deps.store.audit.drop_parts(before)
    return Report("retain", made=made, dropped=dropped)
