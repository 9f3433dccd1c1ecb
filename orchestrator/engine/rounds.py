"""rounds: jobs of housekeeping, started by any number of beats, done once, and told of.

Whoever begins a round claims it in the gate by the server's clock. If that process dies, the
round is lost and the next one is for whoever comes first: every job looks at all there is to do.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

from orchestrator.domain.errors import Unavailable
from orchestrator.domain.report import Report
from orchestrator.engine.deps import Deps
from orchestrator.telemetry import metrics
from orchestrator.telemetry.logging import get_logger

log = get_logger("orchestrator.housekeeping")

#: A job may go on at once while it finds more, but not for ever.
MOST_TURNS = 50
#: Periods without a round after which a job counts as not being done.
MOST_PERIODS = 3


def run_round(
    deps: Deps, process: str, job: str, period: float, run_once: Callable[[Deps], Report]
) -> Counter[str] | None:
    """Do this period's round of a job, unless another process has begun it.

    Answers what it did, or None.
    """
    if not deps.gate.begin_round(job, period):
        return None
    began, counts = time.monotonic(), Counter[str]()
    for _ in range(MOST_TURNS):
        report = run_once(deps)
        counts.update(report.counts())
        if not report.more:
            break
    tell(deps, process, job, period, time.monotonic() - began, counts)
    return counts


def tell(
    deps: Deps, process: str, job: str, period: float, seconds: float, counts: Counter[str]
) -> None:
    """What a round did: all reports of all jobs pass through here."""
    metrics.ROUND_SECONDS.observe(seconds, job)
    for action, count in counts.items():
        metrics.ROUND_ACTIONS.add(job, action, amount=count)
    if counts:
        log.info("round.done", job=job, seconds=round(seconds, 3), **counts)
    try:
        deps.store.housekeeping.record(job, period, process, seconds, counts)
    except Unavailable as error:
        # What was done is done; the job is told of with its next round.
        log.warning("round.not_recorded", job=job, error=error.code)
