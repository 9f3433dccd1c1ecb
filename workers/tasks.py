"""The Celery tasks. Each is a few lines: the work is the engine's."""

from __future__ import annotations

from orchestrator.engine import balance, deadlocks, exhaust, limits, reap, reconcile, sweep, tidy
from orchestrator.engine.execute import execute
from orchestrator.transport.envelope import RUN_TASK
from workers.app import app
from workers.housekeeping import round_of
from workers.process import current


@app.task(name=RUN_TASK)
def run(instance_id: str, attempt: int) -> None:
    """Run one attempt of an instance."""
    process = current()
    execute(process.deps, process.host, instance_id, attempt)


@app.task(name="orchestrator.sweep")
def sweep_leases(period: float) -> None:
    """Judge what has run out."""
    round_of("sweep", period, sweep.run_once)


@app.task(name="orchestrator.limits")
def follow_limits(period: float) -> None:
    """Let the gate hold what operators have set."""
    round_of("limits", period, limits.run_once)


@app.task(name="orchestrator.balance")
def balance_shards(period: float) -> None:
    """Let shards of the gate lend each other what they do not need."""
    round_of("balance", period, balance.run_once)


@app.task(name="orchestrator.exhaust")
def exhaust_budgets(period: float) -> None:
    """End what has run out of its budget."""
    round_of("exhaust", period, exhaust.run_once)


@app.task(name="orchestrator.reap")
def reap_orphans(period: float) -> None:
    """End what lives below ended parents."""
    round_of("reap", period, reap.run_once)


@app.task(name="orchestrator.reconcile")
def reconcile_gate(period: float) -> None:
    """Tell the gate of live instances it does not know."""
    round_of("reconcile", period, reconcile.run_once)


@app.task(name="orchestrator.tidy")
def remove_old_messages(period: float) -> None:
    """Remove messages that nobody can receive any more."""
    round_of("tidy", period, tidy.run_once)


@app.task(name="orchestrator.deadlocks")
def look_for_deadlocks(period: float) -> None:
    """Look again at waits among very many others, and for slots that only wait."""
    round_of("deadlocks", period, deadlocks.run_once)
