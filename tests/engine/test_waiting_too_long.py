"""Spawns that must not start too early, and those that must not wait too long."""

from __future__ import annotations

from orchestrator.domain.lifecycle import State
from orchestrator.engine import sweep
from tests.engine.bench import Bench


class TestTooEarly:
    def test_it_waits_although_there_is_room(self, bench: Bench) -> None:
        one = bench.spawn(not_before=20.0)
        assert bench.places(one) == ["delayed"]
        assert bench.deps.gate.held() == 0
        bench.advance(21)
        bench.offer()
        assert bench.places(one) == ["dispatched"]

    def test_it_is_forgotten_by_nobody_when_redis_is_emptied(self, bench: Bench) -> None:
        one = bench.spawn(not_before=20.0)
        bench.deps.gate.redis.flushall()
        bench.advance(0)
        assert bench.places(one) == ["delayed"]

    def test_it_does_not_go_ahead_when_its_time_has_come(self, bench: Bench) -> None:
        bench.offer(1)
        runs = bench.spawn(session="s")
        later = bench.spawn(session="s", not_before=1.0)
        first = bench.spawn(session="s")
        bench.advance(2)
        bench.offer(1)
        bench.deps.gate.release(runs, 1)
        assert bench.places(first, later) == ["dispatched", "queued"]


class TestTooLong:
    def test_it_fails_with_its_reason(self, bench: Bench) -> None:
        bench.offer(0)
        one, other = bench.spawn(expires_after=10.0), bench.spawn(expires_after=60.0)
        bench.advance(11)
        assert sweep.run_once(bench.deps).failed == 1
        row = bench.row(one)
        assert (row.state, row.reason) == (State.FAILED, "QUEUE_TIMEOUT")
        assert row.error is not None
        assert row.error["type"] == "QueueTimeout"
        assert bench.places(one, other) == ["", "queued"]
        assert bench.trail(one)[-1] == ("failed", "QUEUE_TIMEOUT")

    def test_who_was_handed_out_in_time_has_all_the_time(self, bench: Bench) -> None:
        one = bench.spawn(expires_after=1.0)
        instance = bench.begin(one)
        bench.advance(5)
        bench.deps.gate.requeue(instance, instance.attempt, 0.0)
        bench.advance(5)
        assert sweep.run_once(bench.deps).failed == 0

    def test_a_judgement_that_was_lost_is_made_again(self, bench: Bench) -> None:
        bench.offer(0)
        one = bench.spawn(expires_after=10.0)
        bench.advance(11)
        claimed = bench.deps.gate.sweep(100, hold=30.0)
        assert claimed.expired == ((one, 0, "QUEUE_TIMEOUT"),)
        bench.advance(31)
        assert sweep.run_once(bench.deps).failed == 1

    def test_one_that_was_cancelled_meanwhile_stays_cancelled(self, bench: Bench) -> None:
        bench.offer(0)
        one = bench.spawn(expires_after=10.0)
        bench.deps.store.cancel([one], "CANCELLED", "PARENT_ENDED")
        bench.advance(11)
        sweep.run_once(bench.deps)
        assert bench.row(one).state is State.CANCELLED
        assert bench.places(one) == [""]
