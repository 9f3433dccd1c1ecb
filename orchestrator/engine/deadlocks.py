"""deadlocks: what the gate could not see at once, and slots that only wait.

Every few seconds, by one of the beats. A wait among very many others is begun without being
searched; this looks at it again. And it looks out for slots that cannot be given back: when all
of a scope are held by attempts in waits with a timeout while others are in line, nothing goes on
there until one of these waits is over.
"""

from __future__ import annotations

from orchestrator.domain.report import Report
from orchestrator.domain.waits import Stall
from orchestrator.engine.deps import Deps
from orchestrator.telemetry.logging import get_logger

log = get_logger("orchestrator.deadlocks")

#: Nodes of the wait graph that one look takes in: some 50 ms of the server's time.
BUDGET = 20_000
#: Seconds until a wait that has even more around it is looked at again.
AGAIN = 60.0


def run_once(deps: Deps) -> Report:
    """Fail waits that turn out to be in a deadlock; tell of places where nothing goes on."""
    failed = deps.gate.recheck_waits(BUDGET, AGAIN)
    fresh = [stall for stall in deps.gate.stalls(record=True) if stall.is_new]
    for stall in fresh:
        _tell(deps, stall)
    return Report("deadlocks", deadlocks=failed, stalls=len(fresh))


def _tell(deps: Deps, stall: Stall) -> None:
    log.warning("slots.stalled", **stall.to_dict())
    deps.store.note(stall.holder, "slots_stalled", stall.to_dict())
