"""A worker is killed in the middle: its instances run again elsewhere and finish."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator import AgentFailed, Orchestrator, State
from tests.support.processes import Programs
from tests.support.waiting import wait_until


def lines(ledger: Path) -> list[list[str]]:
    return [line.split() for line in ledger.read_text().splitlines()]


def test_its_instances_run_again_and_finish(
    orchestrator: Orchestrator, start: Programs, ledger: Path, go: Path
) -> None:
    start.beat()
    doomed = start.worker()
    args = {"ledger": str(ledger), "until": str(go)}
    handles = [orchestrator.spawn("hold", args) for _ in range(5)]
    wait_until(lambda: len(lines(ledger)) == 5, "all have begun")
    doomed.kill()
    other = start.worker()
    wait_until(lambda: len(lines(ledger)) == 10, "all have begun again")
    go.touch()
    assert [handle.result(timeout=20) for handle in handles] == [2] * 5
    assert {int(pid) for _, attempt, pid in lines(ledger) if attempt == "2"} == {other.pid}
    trail = [(event.to_state, event.reason) for event in orchestrator.events(handles[0].id)]
    assert trail == [
        ("queued", None),
        ("running", None),
        ("queued", "LEASE_EXPIRED"),
        ("running", None),
        ("completed", None),
    ]


def test_a_waiting_parent_does_not_need_the_worker_it_was_on(
    orchestrator: Orchestrator, start: Programs, ledger: Path, go: Path
) -> None:
    """Its children lose their worker, and run again; it goes on, once, when they have ended."""
    start.beat()
    doomed = start.worker()
    args = {"ledger": str(ledger), "until": str(go), "fan": 3}
    handle = orchestrator.spawn("hold-tree", args)
    wait_until(lambda: len(lines(ledger)) == 4, "parent and children have begun")
    wait_until(lambda: handle.status() is State.WAITING, "the parent waits")
    doomed.kill()
    start.worker()
    wait_until(lambda: len(lines(ledger)) == 7, "the children have begun again")
    go.touch()
    assert handle.result(timeout=30) == [2, 2, 2]
    [root] = orchestrator.tree(handle.id)
    assert len(root.children) == 3
    assert (root.instance.attempt, root.instance.failures) == (2, 0)


def test_an_agent_that_kills_its_workers_is_given_up(
    orchestrator: Orchestrator, start: Programs
) -> None:
    start.beat()
    handle = orchestrator.spawn("kill-worker")
    for _ in range(3):
        process = start.mortal_worker().process
        process.wait(timeout=20)  # the agent kills it
    with pytest.raises(AgentFailed) as caught:
        handle.result(timeout=20)
    assert caught.value.code == "LEASE_EXPIRED"
