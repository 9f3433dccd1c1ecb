"""Danger: after a reconnect a consumer reads nothing any more, and its worker looks healthy."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator import Orchestrator
from orchestrator.config.settings import Settings
from tests.support.processes import Program, Programs
from tests.support.waiting import wait_until
from workers.canary import SILENT

#: What `tests/support/deaf.py` looks at; not imported, since that changes the process it is in.
FILE, FOR_EVER = "DEAF_FILE", "DEAF_FOR_EVER"

pytestmark = pytest.mark.timeout(180)


def deaf_worker(start: Programs, file: Path, **env: str) -> Program:
    """A worker that turns deaf when there is this file."""
    deaf = {FILE: str(file), "ORCHESTRATOR_CANARY": "0.5"} | env
    return start.worker(agents="tests.support.deaf", **deaf)


def works(orchestrator: Orchestrator) -> bool:
    return bool(orchestrator.spawn("add", {"a": 1}).result(timeout=60) == 2)


def test_it_reconnects_and_reads_on(
    settings: Settings, orchestrator: Orchestrator, start: Programs, tmp_path: Path
) -> None:
    start.beat()
    file = tmp_path / "deaf"
    worker = deaf_worker(start, file)
    assert works(orchestrator)
    file.touch()
    wait_until(lambda: b"consumer.recovered" in worker.log.read_bytes(), "it reads again", 60)
    assert works(orchestrator)
    assert worker.process.poll() is None
    assert worker.stop() == 0


def test_it_exits_where_that_does_not_help(
    orchestrator: Orchestrator, start: Programs, tmp_path: Path
) -> None:
    start.beat()
    file = tmp_path / "deaf"
    worker = deaf_worker(start, file, **{FOR_EVER: "1"})
    assert works(orchestrator)
    file.touch()
    assert worker.process.wait(timeout=90) == SILENT
    # What it was given and has not read is given to the next one.
    handle = orchestrator.spawn("add", {"a": 1})
    start.worker()
    assert handle.result(timeout=60) == 2
