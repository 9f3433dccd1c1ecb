"""Cancelling reaches everything below, also code that never looks."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator import AgentCancelled, Orchestrator, State
from orchestrator.engine.deps import Deps
from tests.support.processes import Programs
from tests.support.waiting import wait_until


def states(orchestrator: Orchestrator, root: str) -> list[State]:
    [tree] = orchestrator.tree(root)
    return [tree.instance.state, *(child.instance.state for child in tree.children)]


def test_a_whole_tree_is_cancelled(
    orchestrator: Orchestrator, deps: Deps, start: Programs, ledger: Path, go: Path
) -> None:
    start.worker()
    handle = orchestrator.spawn("hold-tree", {"ledger": str(ledger), "until": str(go), "fan": 4})
    wait_until(lambda: len(ledger.read_text().splitlines()) == 5, "all have begun")
    wait_until(lambda: handle.status() is State.WAITING, "the parent waits")
    assert len(handle.cancel().cancelled) == 5
    assert states(orchestrator, handle.id) == [State.CANCELLED] * 5
    with pytest.raises(AgentCancelled):
        handle.result(timeout=1)
    wait_until(lambda: deps.gate.held() == 0, "every slot is free again")
    assert handle.cancel().cancelled == ()


def test_code_that_never_looks_is_interrupted(
    orchestrator: Orchestrator, deps: Deps, start: Programs, ledger: Path
) -> None:
    start.worker()
    handle = orchestrator.spawn("spin", {"ledger": str(ledger)})
    wait_until(ledger.read_text, "it has begun")
    handle.cancel()
    wait_until(lambda: deps.gate.held() == 0, "its slot is free again")


def test_code_that_cannot_be_interrupted_gives_its_slot_up(
    orchestrator: Orchestrator, deps: Deps, start: Programs, ledger: Path
) -> None:
    """It blocks outside of Python for an hour: its thread is lost, its slot is not."""
    start.worker("--concurrency", "1", ORCHESTRATOR_STOP_GRACE="1.5")
    handle = orchestrator.spawn("block", {"ledger": str(ledger)}, timeout=0.2)
    wait_until(lambda: handle.status().is_terminal, "it has ended")
    assert orchestrator.get(handle.id).reason == "TIMEOUT"
    wait_until(lambda: deps.gate.held() == 0, "its slot is free again")
    assert orchestrator.spawn("add", {"a": 1}).result(timeout=20) == 2


def test_a_queued_instance_leaves_the_line(orchestrator: Orchestrator, deps: Deps) -> None:
    handle = orchestrator.spawn("add", {"a": 1})
    assert deps.gate.backlog() == 1
    handle.cancel()
    assert deps.gate.backlog() == 0
    assert deps.gate.redis.keys("*instance*") == []


def test_children_end_with_a_parent_that_did_not_wait(
    orchestrator: Orchestrator, deps: Deps, start: Programs, ledger: Path, go: Path
) -> None:
    start.worker()
    handle = orchestrator.spawn("leave-children", {"ledger": str(ledger), "until": str(go)})
    child = handle.result(timeout=20)
    instance = orchestrator.get(child)
    assert (instance.state, instance.reason) == (State.CANCELLED, "PARENT_ENDED")
    wait_until(lambda: deps.gate.held() == 0, "the child's slot is free again")


def test_a_timeout_stops_the_attempt(
    orchestrator: Orchestrator, deps: Deps, start: Programs, ledger: Path
) -> None:
    start.worker()
    handle = orchestrator.spawn("spin", {"ledger": str(ledger)}, timeout=0.2)
    wait_until(lambda: handle.status().is_terminal, "it has ended")
    instance = orchestrator.get(handle.id)
    assert (instance.state, instance.reason) == (State.FAILED, "TIMEOUT")
    wait_until(lambda: deps.gate.held() == 0, "its slot is free again")
