"""No beat, or no workers: what is accepted stays, and goes on once they are there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.config.settings import Settings
from orchestrator.domain.instance import SpawnRequest
from orchestrator.domain.lifecycle import State
from orchestrator.engine.deps import Deps
from orchestrator.engine.spawn import spawn
from tests.support.processes import Programs, programs
from tests.support.waiting import wait_until


@pytest.fixture
def running(settings: Settings, tmp_path: Path) -> Iterator[Programs]:
    with programs(settings, tmp_path) as running:
        yield running


def state(deps: Deps, instance_id: str) -> State:
    row = deps.store.get(instance_id)
    assert row is not None
    return row.state


def test_without_a_beat_spawns_run_and_the_lost_wait_for_one(
    deps: Deps, running: Programs, tmp_path: Path
) -> None:
    ledger, until = tmp_path / "ledger", tmp_path / "until"
    first = running.worker()
    held = spawn(deps, SpawnRequest("hold", {"ledger": str(ledger), "until": str(until)}))
    wait_until(ledger.exists, "it runs")
    first.kill()
    running.worker()
    quick = spawn(deps, SpawnRequest("add", {"a": 1}))
    wait_until(lambda: state(deps, quick) is State.COMPLETED, "new work is done", 60.0)
    # Its lease has run out or will; that is known to the gate, and judged by nobody.
    assert state(deps, held) is State.RUNNING
    until.touch()
    running.beat()
    wait_until(lambda: state(deps, held) is State.COMPLETED, "the lost one is done", 60.0)
    assert len(ledger.read_text().splitlines()) == 2


def test_without_workers_spawns_are_accepted_and_wait(deps: Deps, running: Programs) -> None:
    running.worker().kill()
    wait_until(lambda: not deps.gate.workers(), "its capacity is gone")
    ids = [spawn(deps, SpawnRequest("add", {"a": number})) for number in range(3)]
    assert {state(deps, one) for one in ids} == {State.QUEUED}
    running.worker()
    wait_until(
        lambda: {state(deps, one) for one in ids} == {State.COMPLETED}, "they are done", 60.0
    )
