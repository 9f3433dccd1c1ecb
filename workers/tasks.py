"""The Celery tasks. Each is a few lines: the work is the engine's."""

from __future__ import annotations

from orchestrator.engine.execute import execute
from orchestrator.engine.rounds import run_round
from orchestrator.transport.envelope import RUN_TASK
from workers.app import app
from workers.canary import TASK, Canary
from workers.jobs import JOBS, Job
from workers.process import current


@app.task(name=RUN_TASK)
def run(instance_id: str, attempt: int) -> None:
    """Run one attempt of an instance."""
    process = current()
    execute(process.deps, process.host, instance_id, attempt)


@app.task(name=TASK)
def canary() -> None:
    """This worker's consumer reads."""
    if Canary.current is not None:
        Canary.current.hear()


def _register(job: Job) -> None:
    @app.task(name=job.task)
    def keep_house(period: float) -> None:
        """Do this period's round, unless it is done."""
        process = current()
        run_round(process.deps, process.host.worker, job.name, period, job.run_once)


for _job in JOBS:
    _register(_job)
