"""The benchmark of durable agents follows them: every case of ours runs, and is reported."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
import redis
from celery import Celery
from rich.console import Console

from benchmarks.durable.cases import CASES, Ours
from benchmarks.durable.measure import many_waiting, run
from benchmarks.durable.plan import TINY
from benchmarks.plan import QUICK
from benchmarks.report import Report
from benchmarks.samples import Samples
from benchmarks.stage import Stage
from orchestrator import Orchestrator
from orchestrator.config.settings import Settings
from orchestrator.devstack.programs import Surroundings
from orchestrator.engine.deps import Deps
from tests.support.processes import programs


@pytest.fixture
def place(settings: Settings, deps: Deps, tmp_path: Path) -> Iterator[Stage]:
    """The tests' servers and a worker as the benchmark's."""
    with (
        programs(settings, tmp_path) as started,
        Orchestrator.from_settings(settings) as orchestrator,
        redis.Redis.from_url(str(settings.redis_url), decode_responses=True) as client,
        psycopg.connect(str(settings.database_url), autocommit=True) as database,
    ):
        started.worker(agents="benchmarks.agents")
        plan = replace(QUICK, durable=TINY)
        nothing = Celery()
        around = Surroundings(tmp_path, {})
        yield Stage(plan, orchestrator, deps, client, database, nothing, nothing, around)


def test_every_case_of_ours_is_measured_and_reported(place: Stage) -> None:
    samples = Samples()
    run(place, samples, print, [Ours(place, TINY)])
    many_waiting(place, samples, TINY)
    assert {f"durable.{case}.ours" in samples for case in CASES} == {True}
    report = Report(datetime.now(UTC), "none", "tiny", 1.0, {}, {}, samples)
    report.show(Console(quiet=True))
    page = "\n".join(report.to_markdown())
    for title in [*CASES.values(), "how many wait in one worker"]:
        assert f"## Durable: {title}" in page
    assert len(report.to_dict()["aims"]) == 3  # type: ignore[arg-type]  # a list of a JSON object
