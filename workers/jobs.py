"""The jobs of housekeeping, as a table: what is done, and how often."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from orchestrator.config.settings import Settings
from orchestrator.domain.report import Report
from orchestrator.engine import (
    balance,
    deadlocks,
    exhaust,
    limits,
    reap,
    reconcile,
    retain,
    seal,
    sweep,
    tidy,
)
from orchestrator.engine.deps import Deps

#: Seconds. What is removed is days old, so nobody waits for it.
HOUR = 3_600.0


@dataclass(frozen=True)
class Job:
    """One job: one module of the engine."""

    name: str
    run_once: Callable[[Deps], Report]
    #: seconds between two rounds, by the settings
    period: Callable[[Settings], float]
    #: whether there is anything for it to do with these settings
    is_needed: Callable[[Settings], bool] = lambda _settings: True

    @property
    def task(self) -> str:
        """The name of its Celery task."""
        return f"orchestrator.{self.name}"


def _with_the_sweep(settings: Settings) -> float:
    return settings.sweep_every


JOBS = (
    Job("sweep", sweep.run_once, _with_the_sweep),
    Job("limits", limits.run_once, _with_the_sweep),
    Job("balance", balance.run_once, _with_the_sweep, lambda settings: settings.gate_shards > 1),
    Job("exhaust", exhaust.run_once, _with_the_sweep),
    Job("deadlocks", deadlocks.run_once, _with_the_sweep),
    Job("seal", seal.run_once, _with_the_sweep),
    Job("reap", reap.run_once, lambda settings: settings.reap_every),
    Job("reconcile", reconcile.run_once, lambda settings: settings.reconcile_every),
    Job("tidy", tidy.run_once, lambda _settings: HOUR),
    Job("retain", retain.run_once, lambda _settings: HOUR),
)


def periods(settings: Settings) -> dict[str, float]:
    """The jobs that these settings need, with the seconds between their rounds."""
    return {job.name: job.period(settings) for job in JOBS if job.is_needed(settings)}
