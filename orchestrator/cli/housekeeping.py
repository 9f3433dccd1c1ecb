"""housekeeping: what beats do, when they did it last, and a round of it now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table

from orchestrator import bootstrap
from orchestrator.cli import output
from orchestrator.config.settings import Settings
from orchestrator.domain.errors import InvalidRequest
from orchestrator.engine import rounds
from orchestrator.store.housekeeping import JobStanding
from workers.jobs import JOBS, Job

AsJSON = Annotated[bool, typer.Option("--json", help="Print JSON.")]

housekeeping_app = typer.Typer(help="Show the jobs of housekeeping, or do one now.")


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    app.add_typer(housekeeping_app, name="housekeeping")


@housekeeping_app.callback(invoke_without_command=True)
def show(context: typer.Context, as_json: AsJSON = False) -> None:
    """Show the jobs of housekeeping, or do one now."""
    if context.invoked_subcommand is not None:
        return
    deps = bootstrap.build(Settings.load())
    try:
        jobs = deps.store.housekeeping.jobs()
    finally:
        bootstrap.close(deps)
    output.as_json([asdict(job) for job in jobs]) if as_json else _table(jobs)


@housekeeping_app.command()
def run(
    job: Annotated[str, typer.Argument(help="Its name: sweep, reap, reconcile, ...")],
    as_json: AsJSON = False,
) -> None:
    """Do all there is for a job to do, now, whatever beats are doing."""
    wanted, settings = _job(job), Settings.load()
    deps = bootstrap.build(settings)
    counts = Counter[str]()
    try:
        for _ in range(rounds.MOST_TURNS):
            report = wanted.run_once(deps)
            counts.update(report.counts())
            if not report.more:
                break
    finally:
        bootstrap.close(deps)
    output.as_json({"job": job, "counts": counts}) if as_json else output.line(
        f"{job}: {_told(counts)}"
    )


def _job(name: str) -> Job:
    for job in JOBS:
        if job.name == name:
            return job
    names = ", ".join(job.name for job in JOBS)
    raise InvalidRequest("UNKNOWN_JOB", f"{name!r} is no job of housekeeping; there are {names}.")


def _table(jobs: list[JobStanding]) -> None:
    table = Table(box=None, pad_edge=False)
    for title in ("job", "every", "last round", "rounds", "did last", "did in all"):
        table.add_column(title)
    for job in jobs:
        age = f"{job.age:.0f} s ago" if job.rounds else "never"
        done = _told(job.counts), _told(job.totals)
        table.add_row(job.job, f"{job.period:g} s", age, str(job.rounds), *done)
    output.out.print(table)


def _told(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "nothing"
