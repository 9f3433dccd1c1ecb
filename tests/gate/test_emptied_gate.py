"""Redis may be emptied at any moment: until the gate is rebuilt it decides nothing."""

from __future__ import annotations

import pytest

from orchestrator.admission.caller import GateEmpty
from orchestrator.admission.keys import key
from orchestrator.domain.instance import NewInstance
from orchestrator.domain.lifecycle import State
from orchestrator.domain.limits import Limits
from orchestrator.engine.deps import Deps
from tests.gate import observe
from tests.gate.rows import row_of
from tests.gate.tour import FILLING, TOUR, configure
from tests.gate.traced import TracedGate
from tests.support.make import spawn_of
from tests.support.waiting import wait_until


@pytest.fixture
def empty(gate: TracedGate) -> TracedGate:
    """A gate that has just lost everything but its clock."""
    gate.redis.flushall()
    gate.clock.set(gate.clock.now)
    return gate


def _known(gate: TracedGate) -> set[str]:
    return {name.partition("}:")[2] for name in observe.dump(gate.redis)} - {"clock", "journal"}


@pytest.mark.parametrize("name", sorted({*TOUR} - FILLING))
def test_an_empty_gate_answers_that_it_must_be_rebuilt(name: str, empty: TracedGate) -> None:
    with pytest.raises(GateEmpty) as caught:
        TOUR[name](empty)
    assert caught.value.code == "GATE_REBUILDING"
    assert _known(empty) == set()


def test_only_one_process_rebuilds(empty: TracedGate) -> None:
    assert empty.begin_rebuild("one", 10.0) == "yours"
    assert empty.begin_rebuild("two", 10.0) == "busy"
    assert not empty.hold_rebuild("two", 10.0)
    configure(empty)
    assert not empty.finish_rebuild("two")
    assert empty.finish_rebuild("one")
    assert empty.begin_rebuild("two", 10.0) == "ready"


def test_what_runs_is_adopted_before_the_gate_opens(empty: TracedGate) -> None:
    assert empty.begin_rebuild("token", 10.0) == "yours"
    configure(empty)
    empty.adopt([row_of(spawn_of(id="one"), State.RUNNING, 3, "worker")])
    with pytest.raises(GateEmpty):
        empty.check_in(spawn_of(), "queue")
    assert empty.hold_rebuild("token", 10.0)
    assert empty.finish_rebuild("token")
    assert (empty.glance("one").place, empty.glance("one").attempt) == ("dispatched", 3)


def test_a_gate_emptied_again_is_not_opened_half_filled(empty: TracedGate) -> None:
    empty.begin_rebuild("token", 10.0)
    configure(empty)
    empty.redis.flushall()
    assert not empty.hold_rebuild("token", 10.0)
    assert not empty.finish_rebuild("token")
    assert _known(empty) == set()


def test_a_gate_without_limits_is_not_opened(empty: TracedGate) -> None:
    empty.begin_rebuild("token", 10.0)
    assert not empty.finish_rebuild("token")


def test_a_rebuilder_that_died_is_replaced(empty: TracedGate) -> None:
    empty.begin_rebuild("dead", 0.001)
    claim = key(empty.name, "rebuilding")
    wait_until(lambda: not empty.redis.exists(claim), "the claim ends by itself")
    assert empty.begin_rebuild("next", 10.0) == "yours"
    assert not empty.hold_rebuild("dead", 10.0)


def test_the_caller_only_waits_while_the_gate_is_rebuilt_from_the_rows(deps: Deps) -> None:
    recorded = _record(deps, spawn_of())
    deps.gate.redis.flushall()
    assert deps.gate.unknown([recorded.id]) == []
    assert deps.gate.glance(recorded.id).place == "queued"
    assert deps.gate.held() == 0


def _record(deps: Deps, new: NewInstance) -> NewInstance:
    assert deps.store.record(new)
    return new


def test_limits_survive(empty: TracedGate) -> None:
    empty.open(Limits(session_concurrency=1))
    empty.heartbeat("worker", "default", 5, [])
    assert not empty.check_in(spawn_of(), "refuse").refusal
    verdict = empty.check_in(spawn_of(), "refuse")
    assert (verdict.refusal, verdict.scope, verdict.limit) == ("CONCURRENT_LIMIT", "session", 1)
