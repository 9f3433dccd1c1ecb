"""Danger: a worker whose heart beats and whose code hangs keeps its slot until the timeout."""

from __future__ import annotations

import pytest

from orchestrator import ConfigurationError, Context, InvalidSpawn, RetryPolicy, agent
from orchestrator.domain.lifecycle import State
from orchestrator.engine.running import Run, StopReason
from tests.engine.bench import Bench


def stuck(bench: Bench, **fields: object) -> Run:
    """A run that has shown nothing for a minute."""
    run = Run(bench.begin(bench.spawn(**fields)))  # type: ignore[arg-type]  # fields of a spawn
    run._alive_at -= 60
    return run


def test_without_a_limit_it_may_take_its_time(bench: Bench) -> None:
    assert not stuck(bench).is_stuck


def test_the_spawn_says_how_long(bench: Bench) -> None:
    assert stuck(bench, progress_timeout=59.0).is_stuck
    assert not stuck(bench, progress_timeout=90.0).is_stuck


def test_the_agent_says_how_long(bench: Bench) -> None:
    bench.agent("slow", lambda ctx: None, progress_timeout=59.0)
    assert stuck(bench, agent="slow").is_stuck
    assert not stuck(bench, agent="slow", progress_timeout=90.0).is_stuck


def test_waiting_does_not_count(bench: Bench) -> None:
    run = stuck(bench, progress_timeout=59.0)
    with bench.running.parked(run):
        assert not run.is_stuck
    assert not run.is_stuck


def test_any_operation_counts(bench: Bench) -> None:
    run = stuck(bench, progress_timeout=59.0)
    run.check()
    assert not run.is_stuck


def test_it_is_told_to_stop(bench: Bench) -> None:
    run = stuck(bench, progress_timeout=59.0)
    with bench.running.entered(run):
        bench.enforce()
    assert run.reason is StopReason.NO_PROGRESS


def test_it_is_tried_again(bench: Bench) -> None:
    def hang_once(ctx: Context) -> int:
        if ctx.attempt == 1:
            [run] = bench.running.all()
            run._alive_at -= 60
            bench.enforce()
            ctx.check()
        return ctx.attempt

    policy = RetryPolicy(max_attempts=2, first_delay=0.0, max_delay=0.0)
    bench.agent("hangs", hang_once, progress_timeout=5.0, retry=policy)
    one = bench.spawn("hangs")
    bench.work_until(lambda: bench.row(one).state.is_terminal, "it has ended")
    row = bench.row(one)
    assert (row.state, row.result, row.failures) == (State.COMPLETED, 2, 1)


def test_nonsense_is_refused(bench: Bench) -> None:
    with pytest.raises(InvalidSpawn, match="The progress_timeout is -1"):
        bench.spawn(progress_timeout=-1)
    with pytest.raises(ConfigurationError, match="progress_timeout=0"):
        agent("x", progress_timeout=0)
