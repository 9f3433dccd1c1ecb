"""Somebody dies between two steps: housekeeping finishes what was begun."""

from __future__ import annotations

from pathlib import Path

from orchestrator import Orchestrator, State
from orchestrator.domain.instance import SpawnRequest
from orchestrator.engine.deps import Deps
from orchestrator.engine.prepare import prepare
from orchestrator.store.store import Ending
from tests.support.processes import Programs
from tests.support.waiting import wait_until


def test_recorded_but_not_followed(deps: Deps, orchestrator: Orchestrator, start: Programs) -> None:
    deps.gate.configure(deps.limits, lease=1, dispatch=1, outbox=False)
    new = prepare(deps, SpawnRequest("add", {"a": 1}))
    deps.gate.check_in(new, "queue")
    assert deps.store.record(new)
    start.worker()
    start.beat()
    assert orchestrator.handle(new.id).result(timeout=30) == 2


def test_cancelled_but_nobody_told(
    deps: Deps, orchestrator: Orchestrator, start: Programs, ledger: Path, go: Path
) -> None:
    start.worker()
    handle = orchestrator.spawn("hold", {"ledger": str(ledger), "until": str(go)})
    wait_until(ledger.read_text, "it has begun")
    assert deps.store.cancel([handle.id], "CANCELLED", "PARENT_ENDED") == [handle.id]
    wait_until(lambda: deps.gate.held() == 0, "its worker has stopped it")


def test_settled_but_not_released(deps: Deps, orchestrator: Orchestrator, start: Programs) -> None:
    start.beat()
    deps.gate.heartbeat("dying", "default", 1, [])
    handle = orchestrator.spawn("add", {"a": 1})
    assert deps.store.begin(handle.id, 1, "dying")
    assert deps.store.settle(handle.id, 1, Ending(State.COMPLETED, result="2")) == []
    assert deps.gate.held() == 1
    wait_until(lambda: deps.gate.held() == 0, "the slot has run out")
    wait_until(lambda: not deps.gate.redis.keys("*:instance:*"), "and is forgotten")
    assert handle.status() is State.COMPLETED


def test_two_beats_do_the_work_once(
    deps: Deps, orchestrator: Orchestrator, start: Programs, ledger: Path, go: Path
) -> None:
    beats = [start.beat(), start.beat()]
    doomed = start.worker()
    handle = orchestrator.spawn("hold", {"ledger": str(ledger), "until": str(go)})
    wait_until(ledger.read_text, "it has begun")
    doomed.kill()
    start.worker()
    wait_until(lambda: len(ledger.read_text().splitlines()) == 2, "it has begun again")
    go.touch()
    assert handle.result(timeout=20) == 2
    swept = [beat.log.read_text().count('"requeued": 1') for beat in beats]
    assert sum(swept) == 1
