"""Danger: the judge is given less than there is. The gate and the store as they really are."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator import SpawnRequest
from orchestrator.domain.lifecycle import Reason
from orchestrator.domain.limits import Limits
from orchestrator.engine.deps import Deps
from orchestrator.engine.spawn import spawn
from tests.rules.evidence import Accepted, Effect, Evidence, collect, read_ledger
from tests.rules.judge import judge, told

#: `collect` of the test's own stack.
Gather = Callable[..., Evidence]


@pytest.fixture
def gather(deps: Deps, database_url: str) -> Gather:
    """Collects the evidence of the test's own stack."""
    return functools.partial(collect, database_url, deps.gate.redis, deps.gate.name)


def test_everything_that_is_there_is_seen(deps: Deps, gather: Gather) -> None:
    """Given one in the only slot and one in line; then both are judged by what is there."""
    deps.gate.heartbeat("worker", "default", 1, [])
    ids = [spawn(deps, SpawnRequest("add", {"a": n}, session="s", tenant="t")) for n in (1, 2)]

    evidence = gather(at_rest=False, accepted=[Accepted(one) for one in ids])

    gate = evidence.gate
    assert [gate.places[one].place for one in ids] == ["dispatched", "queued"]
    assert list(gate.leases) == [ids[0]]
    assert gate.standing["queued"] == gate.backlog == {ids[1]}
    assert gate.slots["session", "1 ts"] == gate.slots["pool", "default"] == {ids[0]}
    assert (gate.is_open, gate.messages) == (True, 1)
    assert [row["id"] for row in evidence.instances] == ids
    assert [event["instance_id"] for event in evidence.events] == ids
    verdict = judge(evidence)
    assert not verdict.violations, told(verdict.violations)
    tight = judge(gather(at_rest=False, special={("session", "1 ts"): 0}))
    assert {one.rule for one in tight.violations} == {"R2"}


def test_what_is_left_in_the_end_is_seen(deps: Deps, gather: Gather) -> None:
    """Given one that was cancelled in the store alone, the gate holds what it should not."""
    deps.gate.heartbeat("worker", "default", 1, [])
    one = spawn(deps, SpawnRequest("add", {"a": 1}))
    deps.store.cancel([one], Reason.CANCELLED, Reason.PARENT_ENDED)

    broken = judge(gather(limits=Limits()))
    assert {violation.rule for violation in broken.violations} == {"R3"}

    deps.gate.release(one, 1)
    verdict = judge(gather())
    assert not verdict.violations, told(verdict.violations)


def test_only_what_is_asked_for_is_read(deps: Deps, gather: Gather) -> None:
    """What has ended in other sessions is left out; what lives never is."""
    ids = [spawn(deps, SpawnRequest("add", {"a": 1}, session=name)) for name in ("s", "u", "v")]
    for one in ids[:2]:
        deps.store.cancel([one], Reason.CANCELLED, Reason.PARENT_ENDED)
        deps.gate.cancel([one])
        deps.gate.release(one, 1)
    found = gather(sessions=["s"])
    assert [row["id"] for row in found.instances] == [ids[0], ids[2]]


def test_a_ledger_is_read_to_its_last_whole_line(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    assert read_ledger(ledger) == []
    ledger.write_text("a 1 pay 12.5\na 2 pay\na 3 p")
    assert read_ledger(ledger) == [Effect("a", 1, "pay", 12.5), Effect("a", 2, "pay")]
