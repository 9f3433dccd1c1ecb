"""Danger: an agent brings its worker down, or an isolated one cannot do what others can."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.agents.registry import REGISTRY, Isolation, RegisteredAgent, Registry
from orchestrator.domain.instance import AgentSpec, Instance
from orchestrator.domain.lifecycle import Reason, State
from orchestrator.engine.running import StopReason
from tests.engine.bench import Bench
from tests.engine.runtimes.programs import error_of, gone, nothing_left, pid_in, stop, under_way
from tests.support.isolated import ONCE, isolated


@pytest.fixture(autouse=True)
def known(registry: Registry) -> None:
    """The agents of `tests.support.isolated`, also where they were imported late."""
    registered = REGISTRY.get("isolated")
    assert registered is not None
    assert registered.function is isolated
    registry.add(registered)


@pytest.fixture(autouse=True)
def tidy(known: None, bench: Bench) -> Iterator[None]:
    """No test leaves a process, an open file or a thread. The warden stays with its worker."""
    assert ended(bench, "tell").state is State.COMPLETED
    with nothing_left():
        yield


def ended(bench: Bench, do: str, **args: Any) -> Instance:
    """Run it, with all it spawns, to its end."""
    one = bench.spawn("isolated", {"do": do, **args})
    bench.work_until(lambda: bench.row(one).state.is_terminal, "it has ended")
    return bench.row(one)


def test_a_process_of_its_own(bench: Bench) -> None:
    row = ended(bench, "tell")
    assert row.result["pid"] not in (0, os.getpid())
    assert row.result["pid"] == row.result["group"]
    assert (row.result["id"], row.result["attempt"]) == (row.id, 1)
    assert row.result["secrets"] == []
    assert row.result["threads"] == 1


def test_its_memory_is_bounded(bench: Bench) -> None:
    assert error_of(ended(bench, "eat")) == ("AGENT_ERROR", "MemoryError")


def test_it_is_killed(bench: Bench, tmp_path: Path) -> None:
    row = ended(bench, "die", pid_in=str(tmp_path / "pid"))
    assert error_of(row) == ("AGENT_ERROR", "ProgramKilled")
    gone(pid_in(tmp_path / "pid"))


def test_it_leaves_without_a_word(bench: Bench) -> None:
    assert error_of(ended(bench, "leave")) == ("AGENT_ERROR", "ProgramFailed")


def test_everything_that_a_context_can(bench: Bench, tmp_path: Path) -> None:
    """Each wait ends the process; the next one carries on where it was."""
    ledger = tmp_path / "ledger"
    row = ended(bench, "family", ledger=str(ledger))
    assert row.state is State.COMPLETED, row.error
    runs = [line.split() for line in ledger.read_text().splitlines()]
    assert [attempt for _, attempt in runs] == ["1", "2"]
    first, found, called, is_locked, last = row.result
    assert [first, last] == [int(pid) for pid, _ in runs]
    assert (found, called, is_locked) == ([0, 1, 2], "DONE", True)
    assert len(bench.deps.store.subtree(row.id)) == 4


def test_errors_come_over_as_they_are(bench: Bench) -> None:
    text = ended(bench, "refuse").result
    assert text.startswith("InvalidSpawn UNKNOWN_AGENT ")
    assert "nobody" in text


def test_it_fails_with_its_cause(bench: Bench) -> None:
    row = ended(bench, "fail")
    assert error_of(row) == ("AGENT_ERROR", "AgentFailed")
    assert "not a JSON value" in (row.error or {})["message"]


@pytest.mark.parametrize("deaf", [False, True])
def test_told_to_stop(
    bench: Bench, tmp_path: Path, deaf: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.runtimes.dialogue.SHORT_GRACE", 0.5 if deaf else 5.0)
    args = {"do": "hang", "pid_in": str(tmp_path / "pid"), "deaf": deaf}
    with under_way(bench, "isolated", **args) as one:
        pid = pid_in(tmp_path / "pid")
        stop(bench, one, StopReason.WORKER_STOPPED)
    gone(pid)
    row = bench.row(one)
    assert (row.state, row.reason) == (State.QUEUED, Reason.WORKER_STOPPED)
    assert (tmp_path / "tidy").exists() is not deaf


def test_its_module_cannot_be_imported(bench: Bench, registry: Registry) -> None:
    def elsewhere(ctx: Any) -> None: ...

    elsewhere.__module__ = "no.such.module"
    registry.add(RegisteredAgent(AgentSpec("elsewhere", retry=ONCE), elsewhere, Isolation()))
    row = bench.execute(bench.spawn("elsewhere"))
    assert row.error is not None
    assert (row.error["type"], "No module named" in row.error["stderr"]) == ("ProgramFailed", True)
