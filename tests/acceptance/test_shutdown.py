"""A worker that is asked to stop hands back what it cannot finish, at once."""

from __future__ import annotations

from pathlib import Path

from orchestrator import Orchestrator
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
