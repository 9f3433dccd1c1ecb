"""Rounds of housekeeping: started by any number of beats, done once."""

from __future__ import annotations

from collections.abc import Callable

from orchestrator.domain.report import Report
from orchestrator.engine.deps import Deps
from orchestrator.telemetry.logging import get_logger
from workers.process import current

log = get_logger("orchestrator.housekeeping")

#: A job may go on at once while it finds more, but not for ever.
MOST_TURNS = 50


def round_of(job: str, period: float, run_once: Callable[[Deps], Report]) -> Report | None:
    """Do this period's round of a job, unless another process has begun it."""
    deps = current().deps
    if not deps.gate.begin_round(job, period):
        return None
    for _ in range(MOST_TURNS):
        report = run_once(deps)
        if any(value for key, value in report.to_dict().items() if key != "job"):
            log.info("round.done", **report.to_dict())
        if not report.more:
            break
    return report
