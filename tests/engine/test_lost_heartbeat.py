"""The heartbeat: leases live as long as their worker, and PostgreSQL decides who has to stop."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from orchestrator.admission.keys import key
from orchestrator.domain.errors import GateUnavailable
from orchestrator.domain.lifecycle import State
from orchestrator.engine import heartbeat, sweep
from orchestrator.engine.cancel import cancel
from orchestrator.engine.heartbeat import Heart
from orchestrator.engine.running import Run, StopReason
from orchestrator.store.store import Ending
from tests.engine.bench import DISPATCH, LEASE, Bench
from tests.support.waiting import wait_until


@pytest.fixture
def inside() -> Iterator[ExitStack]:
    """Runs that are entered here are in the worker process until the test ends."""
    with ExitStack() as inside:
        yield inside


@pytest.fixture
def run(bench: Bench, inside: ExitStack) -> Run:
    """A running attempt of the bench's own worker."""
    run = Run(bench.begin(bench.spawn()))
    inside.enter_context(bench.running.entered(run))
    return run


def forget(bench: Bench, instance_id: str) -> None:
    """The gate loses everything it knows of an instance, as by a bug or a partial restore."""
    gate = bench.deps.gate
    for name in ("leases", "suspended", "expired"):
        gate.redis.zrem(key(gate.name, name), instance_id)
    for name in gate.redis.scan_iter(
        key(gate.name, "slots_session").rpartition(":session")[0] + "*"
    ):
        gate.redis.srem(name, instance_id)
    gate.redis.delete(key(gate.name, "instance", instance_id))


def test_a_lease_lives_as_long_as_its_worker_beats(bench: Bench, run: Run) -> None:
    bench.beat()
    for _ in range(5):
        bench.advance(LEASE - 1)
        bench.beat()
        assert sweep.run_once(bench.deps).expired == 0
    assert bench.places(run.id) == ["dispatched"]
    bench.advance(LEASE + 1)
    assert sweep.run_once(bench.deps).expired == 1
    assert bench.row(run.id).state is State.QUEUED


def test_an_undisturbed_run_is_left_alone(bench: Bench, run: Run) -> None:
    bench.beat()
    run.check()


def test_a_place_that_the_gate_has_lost_is_made_again(bench: Bench, run: Run) -> None:
    forget(bench, run.id)
    assert bench.deps.gate.held() == 0
    bench.beat()
    assert bench.places(run.id) == ["dispatched"]
    assert bench.glance(run.id).attempt == run.attempt
    assert bench.deps.gate.held() == 1
    run.check()


def test_a_lease_that_ran_out_by_a_pause_is_taken_again(bench: Bench, run: Run) -> None:
    """The worker was frozen, but nobody has judged its lease yet: it goes on."""
    bench.advance(DISPATCH + 1)
    bench.deps.gate.heartbeat("other", "default", 1, [])  # finds it expired
    assert bench.places(run.id) == ["expired"]
    bench.beat()
    assert bench.places(run.id) == ["dispatched"]
    run.check()


@pytest.mark.parametrize("told", [True, False], ids=["told", "not-told"])
def test_a_cancelled_run_is_told_to_stop(bench: Bench, run: Run, told: bool) -> None:
    """Also where the gate was never told: its row has ended."""
    if told:
        cancel(bench.deps, run.id)
    else:
        bench.deps.store.cancel([run.id], "CANCELLED", "PARENT_ENDED")
    bench.beat()
    assert run.reason is StopReason.CANCELLED


def test_a_run_whose_slot_was_given_to_another_attempt_is_told_to_stop(
    bench: Bench, run: Run
) -> None:
    bench.advance(DISPATCH + 1)
    sweep.run_once(bench.deps)
    bench.offer()
    bench.beat()
    assert run.reason is StopReason.FENCED


def test_a_run_whose_row_was_settled_by_somebody_else_is_told_to_stop(
    bench: Bench, run: Run
) -> None:
    bench.deps.store.settle(run.id, run.attempt, Ending(State.COMPLETED, result="1"))
    bench.beat()
    assert run.reason is not None


def test_a_stopped_run_keeps_its_slot_until_it_has_really_ended(bench: Bench, run: Run) -> None:
    """Its code still uses what the slot stands for."""
    cancel(bench.deps, run.id)
    for _ in range(3):
        bench.advance(LEASE - 1)
        bench.beat()
    assert bench.deps.gate.held() == 1
    bench.deps.gate.release(run.id, run.attempt)
    assert bench.deps.gate.held() == 0


def test_a_run_that_went_on_as_a_new_attempt_while_we_asked_is_left_alone(
    bench: Bench, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = bench.deps.store.standings

    def slow(ids: list[str]) -> object:
        standings = ask(ids)
        run.attempt += 1  # a waiting parent has got its slot again meanwhile
        return standings

    monkeypatch.setattr(bench.deps.store, "standings", slow)
    bench.deps.store.expire(run.id, run.attempt)
    bench.beat()
    assert run.reason is None


def test_two_attempts_of_one_instance_in_one_process_are_told_apart(
    bench: Bench, run: Run, inside: ExitStack
) -> None:
    """The older one was fenced out and is still on its way out when the newer one begins."""
    bench.advance(DISPATCH + 1)
    sweep.run_once(bench.deps)
    bench.offer()
    newer = Run(bench.begin(run.id))
    inside.enter_context(bench.running.entered(newer))
    bench.beat()
    assert (run.reason, newer.reason) == (StopReason.FENCED, None)
    for _ in range(3):
        bench.advance(LEASE - 1)
        bench.beat()
    assert bench.places(run.id) == ["dispatched"]


def test_a_dead_workers_capacity_is_not_counted(bench: Bench) -> None:
    bench.offer(1, worker="dead")
    bench.offer(0)
    bench.advance(LEASE + 1)
    one = bench.spawn()
    assert bench.places(one) == ["queued"]


class TestHeart:
    """The thread that beats."""

    @pytest.fixture
    def heart(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Iterator[Heart]:
        monkeypatch.setattr(heartbeat, "TICK", 0.01)
        heart = Heart(bench.deps, bench.host, "default", 3, 0.01)
        yield heart
        heart.close()

    def offered(self, bench: Bench) -> int | None:
        return bench.deps.gate.workers().get("bench", {}).get("default")

    def test_it_tells_the_gate_what_it_offers_until_it_retires(
        self, bench: Bench, heart: Heart
    ) -> None:
        heart.start()
        wait_until(lambda: self.offered(bench) == 3, "the gate knows of it")
        heart.retire()
        wait_until(lambda: self.offered(bench) in (0, None), "it offers nothing more")

    def test_a_cancellation_is_heard_at_once(self, bench: Bench, heart: Heart, run: Run) -> None:
        """By its notice; a beat would have told it too, but later."""
        heart._interval = 3_600
        heart.start()
        wait_until(lambda: self.offered(bench) == 3, "it has beaten")
        wait_until(
            lambda: (
                bench.deps.gate.redis.pubsub_numsub(bench.deps.gate.channels("stop")[0])[0][1] == 1
            ),
            "it listens",
        )
        cancel(bench.deps, run.id)
        wait_until(run.stopped.is_set, "it was told")
        assert run.reason is StopReason.CANCELLED

    @pytest.mark.parametrize("error", [GateUnavailable("AWAY", "away"), ValueError("a bug")])
    def test_it_goes_on_after_a_beat_that_failed(
        self, bench: Bench, heart: Heart, monkeypatch: pytest.MonkeyPatch, error: Exception
    ) -> None:
        failed = threading.Event()
        renew = heartbeat.renew

        def first_fails(*arguments: object) -> object:
            if not failed.is_set():
                failed.set()
                raise error
            return renew(*arguments)  # type: ignore[arg-type]  # the same arguments

        monkeypatch.setattr(heartbeat, "renew", first_fails)
        heart.start()
        wait_until(failed.is_set, "one beat has failed")
        wait_until(lambda: self.offered(bench) == 3, "it beats again")

    def test_a_deadline_is_enforced(self, bench: Bench, heart: Heart, run: Run) -> None:
        heart.start()
        run.deadline = 0.0
        wait_until(run.stopped.is_set, "it was told")
        assert run.reason is StopReason.TIMEOUT
