"""The benchmark of the gate follows the gate: everything runs, and is reported."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from rich.console import Console

from benchmarks.gate.ground import Ground, connect
from benchmarks.gate.measure import run
from benchmarks.gate.plan import TINY
from benchmarks.report import Report
from benchmarks.samples import Samples


@pytest.fixture
def place(redis_url: str) -> Iterator[Ground]:
    """The tests' server as the benchmark's."""
    with connect(redis_url) as client:
        yield Ground(TINY, redis_url, client)


def test_everything_of_the_gate_is_measured_and_reported(place: Ground) -> None:
    samples = Samples()
    run(place, samples, print)
    report = Report(datetime.now(UTC), "none", "tiny", 1.0, {}, {}, samples)
    report.show(Console(quiet=True))
    page = "\n".join(report.to_markdown())
    for title in (
        "The gate, one client",
        "The server at its limit",
        "The fair queue",
        "The wait graph",
        "Aims",
    ):
        assert f"## {title}" in page
    written = json.loads(json.dumps(report.to_dict()))
    assert set(written["figures"]) >= {"gate.check_in.server", "gate.crowd.release.server"}
    assert len(written["aims"]) >= 3
    assert place.redis.dbsize() == 0, "a gate was left behind"
