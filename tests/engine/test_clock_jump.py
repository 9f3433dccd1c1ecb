"""Danger: the clock of Redis' machine is set, and leases, timers and buckets go with it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from orchestrator import bootstrap
from orchestrator.admission.calls import Caller
from orchestrator.admission.keys import hash_tag
from orchestrator.admission.scripts import Library
from orchestrator.agents.registry import Registry
from orchestrator.config.settings import Settings
from orchestrator.domain.call import Amounts
from orchestrator.domain.lifecycle import State
from orchestrator.domain.resource import Resource
from orchestrator.engine import rebuild, sweep
from orchestrator.engine.catalogue import Catalogue
from orchestrator.engine.deps import Deps
from orchestrator.engine.running import Run
from tests.engine.bench import LEASE, Bench

HOUR = 3_600.0
#: `TIME`, as far ahead as the key says.
_TIME = """(function()
  local time = redis.call('TIME')
  time[1] = time[1] + tonumber(redis.call('GET', KEYS[1] .. ':jump') or '0')
  return time
end)()"""


class SetClock(Library):
    """The scripts on a server whose clock a test sets; all else is as it is."""

    def _page(self, name: str) -> str:
        return super()._page(name).replace("redis.call('TIME')", _TIME)


class World:
    """One engine, and the clocks of both servers, in whole seconds ahead of the real ones."""

    def __init__(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bench = bench
        self.redis = self.postgres = 0.0
        clock = bench.deps.store.clock

        def ahead() -> datetime:
            return clock() + timedelta(seconds=self.postgres)

        now = bench.deps.gate.now
        monkeypatch.setattr(bench.deps.store, "clock", ahead)
        monkeypatch.setattr(bench.deps.gate, "now", lambda: now() + round(self.redis * 1000))

    def jump(self, seconds: float) -> None:
        """Somebody sets the clock of Redis' machine."""
        self.redis += seconds
        gate = self.bench.deps.gate
        gate.redis.set(hash_tag(gate.name) + ":jump", f"{self.redis:.0f}")

    def pass_by(self, seconds: float, *, asleep: bool = False) -> None:
        """Time passes; somebody's heart beats, unless all are asleep."""
        if asleep:
            self.postgres += seconds
            self.jump(seconds)
            return
        for _ in range(round(seconds / 4)):
            self.postgres += 4
            self.jump(4)
            self.bench.deps.gate.heartbeat("another", "default", 0, [])


@pytest.fixture
def deps(wide: Settings, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deps]:
    monkeypatch.setattr(bootstrap, "Library", SetClock)
    deps = bootstrap.build(wide)
    deps = replace(deps, catalogue=Catalogue(registry.specs(), deps.store.agents))
    rebuild.run_once(deps)
    yield deps
    bootstrap.close(deps)


@pytest.fixture
def world(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> World:
    """Whose clocks have been compared once, as they are every five seconds."""
    world = World(bench, monkeypatch)
    sweep.run_once(bench.deps)
    return world


@pytest.fixture
def run(bench: Bench) -> Iterator[Run]:
    """A running attempt of the bench's own worker."""
    run = Run(bench.begin(bench.spawn()))
    with bench.running.entered(run):
        bench.beat()
        yield run


both_ways = pytest.mark.parametrize("jump", [HOUR, -HOUR], ids=["forward", "back"])


@both_ways
def test_no_run_is_taken_away(world: World, bench: Bench, run: Run, jump: float) -> None:
    world.jump(jump)
    # Also where the sweep comes before any heartbeat.
    assert sweep.run_once(bench.deps).expired == 0
    bench.beat()
    assert (bench.places(run.id), run.reason) == (["dispatched"], None)
    assert "bench" in bench.deps.gate.workers()


@both_ways
def test_a_dead_worker_is_noticed_within_one_lease_more(
    world: World, bench: Bench, run: Run, jump: float
) -> None:
    world.jump(jump)
    sweep.run_once(bench.deps)
    world.pass_by(2 * LEASE + 4)
    assert sweep.run_once(bench.deps).expired == 1
    assert bench.row(run.id).state is State.QUEUED


@both_ways
def test_a_delayed_one_starts_when_it_was_to(world: World, bench: Bench, jump: float) -> None:
    one = bench.spawn(not_before=60.0)
    world.jump(jump)
    bench.offer()
    assert bench.places(one) == ["delayed"]
    world.pass_by(64)
    bench.offer()
    assert bench.places(one) == ["dispatched"]


@pytest.fixture
def calls(bench: Bench) -> Callable[[], int]:
    """How many calls of a resource are let through now."""
    gate, numbers = bench.deps.gate, itertools.count()
    gate.declare([Resource("api", requests_per_minute=2)])

    def calls() -> int:
        callers = [Caller(f"call-{next(numbers)}", "api", "default", "") for _ in range(5)]
        verdicts = [gate.acquire(one, Amounts(), may_wait=False) for one in callers]
        return sum(verdict.decision == "taken" for verdict in verdicts)

    return calls


@both_ways
def test_buckets_mint_nothing(world: World, calls: Callable[[], int], jump: float) -> None:
    assert calls() > 0
    assert calls() == 0
    world.jump(jump)
    assert calls() == 0


def test_what_is_made_up_for_fills_no_bucket(
    world: World, bench: Bench, calls: Callable[[], int]
) -> None:
    """All were asleep; the first calls come before anybody has compared the clocks."""
    world.pass_by(HOUR, asleep=True)
    assert calls() > 0
    sweep.run_once(bench.deps)
    assert calls() == 0
    # Time that passes from now on does.
    world.pass_by(64)
    assert calls() > 0


def test_a_clock_of_postgresql_that_was_set_moves_nothing(
    world: World, bench: Bench, run: Run
) -> None:
    one = bench.spawn(not_before=600.0)
    world.postgres += HOUR
    assert sweep.run_once(bench.deps).expired == 0
    bench.offer()
    assert bench.places(one, run.id) == ["delayed", "dispatched"]


def test_time_that_passed_while_all_slept_is_made_up_for(
    world: World, bench: Bench, run: Run
) -> None:
    """What was due meanwhile starts; who comes back has kept what it held."""
    one = bench.spawn(not_before=600.0)
    world.pass_by(HOUR, asleep=True)
    bench.beat()
    assert bench.places(one) == ["delayed"]
    assert sweep.run_once(bench.deps).expired == 0
    bench.beat()
    assert bench.places(one, run.id) == ["dispatched", "dispatched"]
    # And who does not is noticed a lease later.
    world.pass_by(LEASE + 4)
    assert sweep.run_once(bench.deps).expired >= 1
