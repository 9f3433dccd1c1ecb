"""Agents of several workers wait for each other, and for locks of workers that die."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator import AgentFailed, Orchestrator, State
from orchestrator.engine.deps import Deps
from tests.support.processes import Programs
from tests.support.waiting import wait_until


def test_a_deadlock_is_named_and_everybody_ends(
    orchestrator: Orchestrator, deps: Deps, start: Programs, tmp_path: Path
) -> None:
    start.worker("--concurrency", "1")
    start.worker("--concurrency", "1")
    books = [tmp_path / "first", tmp_path / "second"]
    first, second = (orchestrator.spawn("wait-for", {"book": str(book)}) for book in books)
    books[0].write_text(second.id)
    books[1].write_text(first.id)
    codes = []
    for handle in (first, second):
        with pytest.raises(AgentFailed) as caught:
            handle.result(timeout=20)
        codes.append(caught.value.code)
    # One was refused; the other had its result, which is that failure
    assert sorted(codes) == ["AGENT_ERROR", "DEADLOCK_DETECTED"]
    [event] = orchestrator.deadlocks()
    assert event.detail is not None
    assert [node["id"] for node in event.detail["cycle"]] == [first.id, second.id]
    wait_until(lambda: deps.gate.held() == 0, "every slot is free again")


def test_a_lock_outlives_its_dead_holder_by_a_lease(
    orchestrator: Orchestrator, start: Programs, ledger: Path, go: Path
) -> None:
    start.beat()
    doomed = start.worker()
    args = {"name": "repo:main", "ledger": str(ledger), "until": str(go)}
    holder = orchestrator.spawn("hold-lock", args)
    wait_until(lambda: ledger.read_text().count("\n") == 1, "it holds the lock")
    doomed.kill()
    start.worker()
    heir = orchestrator.spawn("hold-lock", args)
    wait_until(lambda: ledger.read_text().count("\n") == 2, "the next one holds it")
    go.touch()
    heir.result(timeout=20)
    (one, first), (other, second) = (line.split() for line in ledger.read_text().splitlines())
    assert (one, other) == (holder.id, heir.id)
    assert int(first) < int(second)
    wait_until(lambda: holder.status() is State.FAILED, "the dead one has failed")


def test_a_lock_survives_the_loss_of_redis(
    orchestrator: Orchestrator, deps: Deps, start: Programs, ledger: Path, go: Path
) -> None:
    start.beat()
    start.worker()
    args = {"name": "repo:main", "ledger": str(ledger), "until": str(go)}
    holder = orchestrator.spawn("hold-lock", args)
    wait_until(lambda: ledger.read_text().count("\n") == 1, "it holds the lock")
    deps.gate.redis.flushall()
    heir = orchestrator.spawn("hold-lock", args)
    wait_until(lambda: heir.status() is State.WAITING, "the next one waits")
    held = "{orchestrator}:holder:*"
    wait_until(lambda: list(deps.gate.redis.scan_iter(held)), "the holder has said that it holds")
    assert ledger.read_text().count("\n") == 1
    go.touch()
    assert holder.result(timeout=20) < heir.result(timeout=20)
