"""journal: what an attempt has done, written so that no later one does it again.

Only the newest attempt writes: one that was fenced out meanwhile is left here, and what it did
last is not recorded.
"""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.domain.journal import Entry
from orchestrator.engine.deps import Deps
from orchestrator.engine.fault_points import reached
from orchestrator.engine.patience import insist
from orchestrator.engine.running import Run
from orchestrator.telemetry import metrics


def load(deps: Deps, run: Run) -> list[Entry]:
    """What earlier attempts have recorded."""
    entries = insist(lambda: deps.store.journal.load(run.id))
    reached("resume.loaded")
    metrics.REPLAYED.add(amount=len(entries))
    return entries


def write(deps: Deps, run: Run, entries: Sequence[Entry]) -> None:
    """Record these. Raises `Stop` when this attempt is not the newest any more."""
    run.check()
    if not insist(lambda: deps.store.journal.write(run.id, run.attempt, entries)):
        raise run.fenced()
    for entry in entries:
        metrics.STEPS.add(entry.kind)


def keep(deps: Deps, run: Run, text: str) -> int:
    """Replace what the agent keeps beside its journal; answers its version."""
    run.check()
    version = insist(lambda: deps.store.journal.write_checkpoint(run.id, run.attempt, text))
    if version is None:
        raise run.fenced()
    return version
