"""A worker that is asked to stop hands back what it cannot finish, at once."""

from __future__ import annotations

from pathlib import Path

from orchestrator import Orchestrator, State
from tests.support.processes import Programs
from tests.support.waiting import wait_until


def test_unfinished_instances_are_handed_back(
    orchestrator: Orchestrator, start: Programs, ledger: Path, go: Path
) -> None:
    """No beat runs: nothing but the stopping worker itself can have put them back."""
    stopping = start.worker()
    handle = orchestrator.spawn("hold", {"ledger": str(ledger), "until": str(go)})
    wait_until(ledger.read_text, "it has begun")
    assert stopping.stop() == 0
    trail = [(event.to_state, event.reason) for event in orchestrator.events(handle.id)]
    assert trail[-1] == ("queued", "WORKER_STOPPED")
    start.worker()
    go.touch()
    assert handle.result(timeout=20) == 2
    assert orchestrator.get(handle.id).failures == 0


def test_a_waiting_parent_stays_where_it_is(
    orchestrator: Orchestrator, start: Programs, ledger: Path, go: Path
) -> None:
    stopping = start.worker()
    handle = orchestrator.spawn("hold-tree", {"ledger": str(ledger), "until": str(go), "fan": 2})
    wait_until(lambda: handle.status() is State.WAITING, "the parent waits")
    wait_until(lambda: len(ledger.read_text().splitlines()) == 3, "the children have begun")
    assert stopping.stop() == 0
    assert handle.status() is State.WAITING
    assert [one.state for one in orchestrator.list(agent="hold")] == [State.QUEUED] * 2
    start.worker()
    go.touch()
    assert handle.result(timeout=20) == [2, 2]
    assert {one.failures for one in orchestrator.list()} == {0}


def test_what_can_finish_does(
    orchestrator: Orchestrator, start: Programs, ledger: Path, go: Path
) -> None:
    stopping = start.worker(ORCHESTRATOR_SHUTDOWN_GRACE="20")
    handle = orchestrator.spawn("hold", {"ledger": str(ledger), "until": str(go)})
    wait_until(ledger.read_text, "it has begun")
    stopping.process.terminate()
    wait_until(lambda: "Warm shutdown" in stopping.log.read_text(), "it is stopping")
    go.touch()
    assert stopping.process.wait(timeout=20) == 0
    assert handle.result(timeout=1) == 1
