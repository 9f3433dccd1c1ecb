"""A running attempt hears that it has to stop, wherever it is, and ends only once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime

import pytest

from orchestrator.domain.ids import new_id
from orchestrator.domain.instance import Instance
from orchestrator.domain.lifecycle import State
from orchestrator.domain.priority import Priority
from orchestrator.domain.retry import RetryPolicy
from orchestrator.engine.running import Run, Running, Stop, StopReason


@pytest.fixture
def run() -> Run:
    instance_id = new_id()
    return Run(
        Instance(
            id=instance_id,
            agent="work",
            session="s",
            tenant="t",
            pool="default",
            priority=Priority.NORMAL,
            parent_id=None,
            root_id=instance_id,
            depth=0,
            state=State.RUNNING,
            reason=None,
            attempt=3,
            failures=0,
            timeout_seconds=60.0,
            retry=RetryPolicy(),
            args={},
            result=None,
            error=None,
            worker="w",
            not_before=None,
            created_at=datetime.now(UTC),
            started_at=None,
            ended_at=None,
        )
    )


class Count:
    """How often it was called."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> None:
        self.calls += 1


def test_a_run_starts_undisturbed(run: Run) -> None:
    run.check()
    assert (run.attempt, run.reason, run.is_parked) == (3, None, False)
    assert 59 < run.deadline - time.monotonic() <= 60


@pytest.mark.parametrize("reason", StopReason)
def test_a_stopped_run_is_left_at_its_next_check(run: Run, reason: StopReason) -> None:
    run.stop(reason)
    with pytest.raises(Stop) as caught:
        run.check()
    assert caught.value.reason is reason
    assert not isinstance(caught.value, Exception)  # `except Exception` must not catch it


def test_the_first_reason_stands(run: Run) -> None:
    run.stop(StopReason.TIMEOUT)
    stopped_at = run.stopped_at
    run.stop(StopReason.CANCELLED)
    assert (run.reason, run.stopped_at) == (StopReason.TIMEOUT, stopped_at)


def test_a_stop_wakes_whoever_waits_for_something_else(run: Run) -> None:
    bell = threading.Event()
    with run.waking(bell):
        assert not bell.is_set()
        run.stop(StopReason.CANCELLED)
        assert bell.is_set()


def test_a_stop_before_the_wait_wakes_too(run: Run) -> None:
    bell = threading.Event()
    run.stop(StopReason.CANCELLED)
    with run.waking(bell):
        assert bell.is_set()


def test_a_repeated_stop_wakes_again(run: Run) -> None:
    """A waiter clears its bell; one that went on waiting must hear of the next stop."""
    bell = threading.Event()
    with run.waking(bell):
        run.stop(StopReason.CANCELLED)
        bell.clear()
        run.stop(StopReason.CANCELLED)
        assert bell.is_set()


def test_a_wait_that_is_over_is_not_woken(run: Run) -> None:
    bell = threading.Event()
    with run.waking(bell):
        pass
    run.stop(StopReason.CANCELLED)
    assert not bell.is_set()


def test_code_is_broken_into_only_once_and_only_while_inside(run: Run) -> None:
    strike = Count()
    run.interrupt()
    with run.interruptible(strike):
        assert not run.was_interrupted
        run.interrupt()
        run.interrupt()
    run.interrupt()
    assert strike.calls == 1
    assert run.was_interrupted


def test_only_one_may_write_the_end(run: Run) -> None:
    winners: list[bool] = []
    barrier = threading.Barrier(8, timeout=20)

    def race() -> None:
        barrier.wait()
        winners.append(run.take_settlement())

    threads = [threading.Thread(target=race) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(winners) == [False] * 7 + [True]


class TestRunning:
    """The runs of a process."""

    @pytest.fixture
    def parked(self) -> list[int]:
        return []

    @pytest.fixture
    def running(self, parked: list[int]) -> Running:
        return Running(on_parked=parked.append)

    def test_a_run_is_known_while_it_is_inside(self, running: Running, run: Run) -> None:
        with running.entered(run):
            assert running.all() == [run]
        assert running.all() == []

    def test_it_is_forgotten_also_when_its_code_raises(self, running: Running, run: Run) -> None:
        run.stop(StopReason.FENCED)
        with pytest.raises(Stop), running.entered(run):
            run.check()
        assert running.all() == []

    def test_stopping_by_id_reaches_only_that_one(self, running: Running, run: Run) -> None:
        other = Run(run.instance.__class__(**{**vars(run.instance), "id": new_id()}))
        with running.entered(run), running.entered(other):
            running.stop(run.id, StopReason.CANCELLED)
            running.stop("nobody", StopReason.CANCELLED)
        assert (run.reason, other.reason) == (StopReason.CANCELLED, None)

    def test_a_newer_attempt_is_not_forgotten_with_the_older(
        self, running: Running, run: Run
    ) -> None:
        """The old one was fenced out and ends while the new one runs in the same process."""
        newer = Run(run.instance)
        with running.entered(run):
            with running.entered(newer):
                running.remove(run)
                assert running.all() == [newer]
            assert running.all() == []

    def test_all_attempts_of_an_instance_are_stopped(self, running: Running, run: Run) -> None:
        newer = Run(run.instance)
        with running.entered(run), running.entered(newer):
            running.stop(run.id, StopReason.CANCELLED)
        assert (run.reason, newer.reason) == (StopReason.CANCELLED, StopReason.CANCELLED)

    def test_a_waiting_thread_is_counted_and_its_timeout_stands_still(
        self, running: Running, run: Run, parked: list[int]
    ) -> None:
        left = run.deadline - time.monotonic()
        seen = []
        with running.parked(run):
            seen.append((run.is_parked, run.deadline, sum(parked)))
        seen.append((run.is_parked, 0.0, sum(parked)))
        assert seen == [(True, float("inf"), 1), (False, 0.0, 0)]
        assert run.deadline - time.monotonic() == pytest.approx(left, abs=1)

    @pytest.mark.parametrize("leave", [Running.entered, Running.parked])
    def test_a_thread_that_leaves_by_an_error_is_given_back(
        self,
        running: Running,
        run: Run,
        parked: list[int],
        leave: Callable[[Running, Run], AbstractContextManager[None]],
    ) -> None:
        with pytest.raises(KeyError), leave(running, run):
            raise KeyError
        assert sum(parked) == 0
        assert not run.is_parked

    def test_a_thread_that_does_not_return_counts_as_parked_until_it_does(
        self, running: Running, run: Run, parked: list[int]
    ) -> None:
        with running.entered(run):
            running.write_off(run)
            assert running.all() == []
            assert sum(parked) == 1
            running.returned(run)
        assert sum(parked) == 0
