"""Redis has reached its `maxmemory`: nothing new is taken, and what there is goes on and ends."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from orchestrator.agents.registry import REGISTRY, Registry
from orchestrator.domain.errors import GateUnavailable
from orchestrator.domain.lifecycle import State
from orchestrator.engine import sweep
from orchestrator.engine.cancel import cancel
from orchestrator.engine.catalogue import Catalogue
from orchestrator.engine.deps import Deps
from tests.engine.bench import Bench


@pytest.fixture
def bench(deps: Deps) -> Bench:
    """The engine, and a worker with much room."""
    registry = Registry()
    for name in REGISTRY.specs():
        known = REGISTRY.get(name)
        assert known is not None
        registry.add(known)
    bench = Bench(replace(deps, catalogue=Catalogue(registry.specs(), deps.store.agents)), registry)
    bench.offer()
    return bench


@pytest.fixture
def full(deps: Deps) -> Iterator[Full]:
    full = Full(deps)
    yield full
    full.heal()


class Full:
    """Takes all memory away, and gives it back."""

    def __init__(self, deps: Deps) -> None:
        self._client = deps.gate.redis

    def begin(self) -> None:
        self._client.config_set("maxmemory", 1)

    def heal(self) -> None:
        self._client.config_set("maxmemory", 0)


def test_a_spawn_is_refused_and_leaves_nothing(bench: Bench, full: Full) -> None:
    bench.spawn()
    bench.take_messages()
    before = bench.state()
    full.begin()
    with pytest.raises(GateUnavailable) as caught:
        bench.spawn()
    full.heal()
    assert caught.value.code == "GATE_FULL"
    assert caught.value.retryable
    assert "maxmemory" in str(caught.value)
    assert bench.state() == before
    assert bench.execute(bench.spawn()).state is State.COMPLETED


def test_what_runs_ends_and_the_next_is_handed_out(bench: Bench, full: Full) -> None:
    bench.limit(session_concurrency=1)
    first, second = bench.spawn(session="s"), bench.spawn(session="s")
    assert bench.places(first, second) == ["dispatched", "queued"]
    bench.take_messages()
    full.begin()
    assert bench.execute(first).state is State.COMPLETED
    assert bench.places(second) == ["dispatched"]
    assert bench.execute(second).state is State.COMPLETED
    assert bench.deps.gate.held() == 0


def test_a_failure_is_tried_again(bench: Bench, full: Full) -> None:
    one = bench.spawn("fail-once", {})
    full.begin()
    assert bench.execute(one).state is State.QUEUED
    # How long it is to wait, chance decides: perhaps not at all.
    assert bench.places(one)[0] in ("delayed", "dispatched")


def test_one_that_waits_gives_its_slot_back_and_is_woken(bench: Bench, full: Full) -> None:
    one = bench.spawn("tree", {"fan": 1, "depth": 1})
    bench.execute(one)
    [child] = [ident for ident, _ in bench.take_messages() if ident != one]
    assert bench.places(one) == ["suspended"]
    full.begin()
    bench.execute(child)
    assert bench.places(one) == ["dispatched"]
    assert bench.execute(one).state is State.COMPLETED


def test_sleep_begins(bench: Bench, full: Full) -> None:
    one = bench.spawn("doze", {"seconds": 3_600})
    full.begin()
    assert bench.execute(one).state is State.WAITING
    assert bench.places(one) == ["suspended"]


def test_a_cancellation_reaches_all(bench: Bench, full: Full) -> None:
    bench.limit(session_concurrency=1)
    runs, queued = bench.spawn(session="s"), bench.spawn(session="s")
    bench.begin(runs)
    full.begin()
    for one in (runs, queued):
        cancel(bench.deps, one)
        assert bench.row(one).state is State.CANCELLED
    bench.deps.gate.release(runs, 1)
    assert bench.places(runs, queued) == ["", ""]


def test_leases_live_and_lost_ones_are_judged(bench: Bench, full: Full) -> None:
    lost = bench.spawn()
    bench.begin(lost)
    bench.take_messages()
    full.begin()
    bench.beat()
    assert bench.deps.gate.begin_round("sweep", 5.0)
    assert sweep.run_once(bench.deps).expired == 0
    bench.deps.gate.leave("bench")
