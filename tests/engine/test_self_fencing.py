"""Danger: a worker that nobody can reach goes on with what another one has taken over."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from orchestrator import Context, bootstrap
from orchestrator.config.settings import Settings
from orchestrator.devstack.ports import free_port
from orchestrator.domain.lifecycle import State
from orchestrator.engine import execute, heartbeat, running
from orchestrator.engine.deps import Deps
from orchestrator.engine.execute import finish, outcome_of_stop
from orchestrator.engine.heartbeat import Heart, ask, enforce, renew
from orchestrator.engine.running import Run, Stop, StopReason, awake
from tests.engine.bench import LEASE, Bench
from tests.support.waiting import wait_until


class Clock:
    """What `awake` says, moved by hand."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in (running, heartbeat, execute):
        monkeypatch.setattr(module, "awake", clock)
    return clock


@pytest.fixture
def run(bench: Bench, clock: Clock) -> Iterator[Run]:
    """A running attempt of the bench's own worker."""
    run = Run(bench.begin(bench.spawn()), LEASE)
    with bench.running.entered(run):
        yield run


@pytest.fixture
def away(wide: Settings) -> Iterator[Deps]:
    """The same engine where neither server can be reached."""
    nowhere = f"127.0.0.1:{free_port()}"
    deps = bootstrap.build(
        wide.model_copy(
            update={
                "redis_url": f"redis://{nowhere}/0",
                "database_url": f"postgresql://nobody@{nowhere}/nothing",
            }
        )
    )
    yield deps
    bootstrap.close(deps)


def lasts(bench: Bench, run: Run, clock: Clock, seconds: float) -> bool:
    """Whether it is left alone until then, and no longer."""
    clock.now += seconds
    enforce(bench.deps, bench.host)
    was_left_alone = run.reason is None
    clock.now += 0.2
    enforce(bench.deps, bench.host)
    return was_left_alone and run.reason is StopReason.LEASE_LOST


def test_it_is_stopped_a_lease_after_it_was_begun(bench: Bench, run: Run, clock: Clock) -> None:
    assert lasts(bench, run, clock, LEASE - 0.1)


def test_the_gate_alone_confirms(bench: Bench, run: Run, clock: Clock) -> None:
    for _ in range(3):
        clock.now += LEASE - 1
        renew(bench.deps, bench.host, "default", 100)
    assert lasts(bench, run, clock, LEASE - 0.1)


def test_postgresql_alone_confirms(bench: Bench, run: Run, clock: Clock) -> None:
    for _ in range(3):
        clock.now += LEASE - 1
        ask(bench.deps, bench.host)
    assert lasts(bench, run, clock, LEASE - 0.1)


def test_it_counts_from_when_one_was_asked(
    bench: Bench, run: Run, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer that took long is as old as its question."""
    standings, beat = bench.deps.store.standings, bench.deps.gate.heartbeat

    def late(answer: object) -> object:
        clock.now += LEASE - 1
        return answer

    monkeypatch.setattr(bench.deps.store, "standings", lambda ids: late(standings(ids)))
    monkeypatch.setattr(bench.deps.gate, "heartbeat", lambda *words: late(beat(*words)))
    ask(bench.deps, bench.host)
    assert lasts(bench, run, clock, 0.9)


def test_the_gate_confirms_nothing_that_it_does_not_hold(
    bench: Bench, run: Run, clock: Clock
) -> None:
    """It was given up and is in line again, at the same attempt."""
    bench.deps.gate.requeue(run.instance, run.attempt, delay=60.0)
    clock.now += LEASE - 1
    renew(bench.deps, bench.host, "default", 100)
    assert lasts(bench, run, clock, 0.9)


def test_an_attempt_finds_out_by_itself(run: Run, clock: Clock) -> None:
    """A worker that was frozen does nothing more before its heart has looked."""
    clock.now += LEASE + 1
    with pytest.raises(Stop, match="LEASE_LOST"):
        run.check()


def test_what_is_still_ones_own_goes_back_in_line(bench: Bench, clock: Clock) -> None:
    """No attempt has failed: nothing is known against the agent."""

    def freeze(ctx: Context) -> None:
        if ctx.attempt == 1:
            clock.now += LEASE + 1
            ctx.check()

    bench.agent("freezes", freeze)
    one = bench.spawn("freezes")
    row = bench.execute(one)
    assert (row.state, row.failures) == (State.QUEUED, 0)
    assert bench.trail(one)[-1] == ("queued", "LEASE_EXPIRED")
    assert (one, 2) in bench.take_messages()
    assert bench.execute(one).state is State.COMPLETED


def test_what_another_has_taken_over_is_left_alone(bench: Bench, clock: Clock) -> None:
    def be_robbed(ctx: Context) -> None:
        bench.deps.store.expire(ctx.id, ctx.attempt)
        bench.deps.store.begin(ctx.id, ctx.attempt + 1, "other")
        clock.now += LEASE + 1
        ctx.check()

    bench.agent("robbed", be_robbed)
    one = bench.spawn("robbed")
    row = bench.execute(one)
    assert (row.state, row.attempt, row.worker) == (State.RUNNING, 2, "other")


def test_one_that_was_cancelled_meanwhile_gives_its_slot_back(
    bench: Bench, run: Run, clock: Clock
) -> None:
    """Its worker was too busy to hear of it before."""
    bench.deps.store.cancel([run.id], "CANCELLED", "PARENT_ENDED")
    clock.now += LEASE + 1
    enforce(bench.deps, bench.host)
    finish(bench.deps, run, outcome_of_stop(run))
    assert bench.deps.gate.held() == 0
    assert [one.kind for one in bench.deps.store.events(run.id)][-1] == "stopped"


def test_nothing_is_tried_twice_where_nobody_answers(
    bench: Bench, away: Deps, run: Run, clock: Clock
) -> None:
    """Its thread is free at once for what comes when the servers are back."""
    clock.now += LEASE + 1
    enforce(bench.deps, bench.host)
    finish(away, run, outcome_of_stop(run))
    row = bench.row(run.id)
    assert (row.state, row.attempt) == (State.RUNNING, run.attempt)


def test_a_server_that_does_not_answer_holds_up_no_clock(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both calls hang; what has to stop is stopped all the same."""
    hung, asked = threading.Event(), threading.Semaphore(0)

    def hang(*_: object) -> None:
        asked.release()
        hung.wait()

    run = Run(bench.begin(bench.spawn()), lease=0.5, asked_at=awake())
    monkeypatch.setattr(bench.deps.gate, "heartbeat", hang)
    monkeypatch.setattr(bench.deps.store, "standings", hang)
    heart = Heart(bench.deps, bench.host, "default", 3, 0.01)
    with bench.running.entered(run):
        heart.start()
        for _ in range(2):
            assert asked.acquire(timeout=20)
        wait_until(run.stopped.is_set, "it was stopped")
    hung.set()
    heart.close()
    assert run.reason is StopReason.LEASE_LOST
