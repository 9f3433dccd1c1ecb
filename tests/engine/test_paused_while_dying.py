"""Danger: an instance is paused as its worker dies, and runs all the same, or never again."""

from __future__ import annotations

import pytest

from orchestrator.domain.lifecycle import State
from orchestrator.engine import pause, sweep
from tests.engine.bench import DISPATCH, Bench


@pytest.mark.parametrize("told", [True, False], ids=["told", "not-told"])
def test_it_stays_aside_until_it_is_resumed(bench: Bench, told: bool) -> None:
    """Also where the gate had not heard of it when its worker died."""
    # Given an attempt whose instance is paused, and whose worker dies before it gives way
    one = bench.spawn()
    bench.begin(one, "dead")
    if told:
        pause.pause(bench.deps, f"instance:{one}")
    else:
        bench.deps.store.control.pause(one, "test")
    bench.advance(DISPATCH + 1)
    # When that is noticed, and what is in line is handed out
    assert sweep.run_once(bench.deps).requeued == 1
    bench.offer()
    for message in bench.take_messages():
        bench.execute(*message)
    # Then it does not run, and takes nobody's slot
    assert bench.row(one).state is State.QUEUED
    assert bench.places(one) == ["paused"]
    assert bench.deps.gate.held() == 0
    # And runs once it is resumed
    pause.resume(bench.deps, f"instance:{one}")
    bench.offer()
    bench.work_until(lambda: bench.row(one).state.is_terminal, "it has ended")
    assert bench.row(one).state is State.COMPLETED
