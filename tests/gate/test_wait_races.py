"""Danger: two waits that close a circle together, each having looked before the other came."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from orchestrator.admission.gate import Gate
from orchestrator.domain.limits import Limits
from tests.gate import wait_crowd
from tests.gate.together import PROCESSES, all_at_once
from tests.support.make import spawn_of

ROUNDS, OPERATIONS, POPULATION = 60, 300, 24
WIDE = Limits(session_concurrency=10_000, tenant_concurrency=10_000)


@pytest.fixture
def gate(redis_url: str) -> Iterator[Gate]:
    """A gate in which all instances run."""
    with closing(wait_crowd.connect(redis_url)) as gate:
        gate.begin_rebuild("token", 10.0)
        gate.configure(WIDE, lease=600.0, dispatch=600.0, outbox=False)
        gate.finish_rebuild("token")
        gate.heartbeat("worker", "default", 10_000, [])
        for number in range(max(ROUNDS * PROCESSES, POPULATION)):
            new = spawn_of(id=wait_crowd.instance(number).id)
            gate.check_in(new, "queue")
            gate.follow(new)
        yield gate


@pytest.mark.parametrize("size", [2, 4, 8], ids=["pairs", "fours", "all"])
def test_exactly_one_of_a_circle_is_refused(gate: Gate, redis_url: str, size: int) -> None:
    parts = [(redis_url, number, ROUNDS, size) for number in range(PROCESSES)]
    reports = all_at_once(wait_crowd.close_rings, parts)
    for turn in range(ROUNDS):
        refused = [report.refused[turn] for report in reports]
        rings = [refused[first : first + size] for first in range(0, PROCESSES, size)]
        assert [sum(ring) for ring in rings] == [1] * len(rings), f"round {turn}: {refused}"
    assert wait_crowd.stuck(gate) == set()


def test_nobody_is_ever_stuck_in_a_storm(gate: Gate, redis_url: str) -> None:
    parts = [(redis_url, number, OPERATIONS, POPULATION) for number in range(PROCESSES)]
    reports = all_at_once(wait_crowd.storm, parts)
    assert [report.stuck for report in reports] == [set()] * PROCESSES
    assert wait_crowd.stuck(gate) == set()
    # And there was something to be found
    assert sum(report.deadlocks for report in reports) > PROCESSES
    assert sum(report.held for report in reports) >= len(wait_crowd.LOCKS)


def test_the_judge_is_not_blind(gate: Gate) -> None:
    one, two = wait_crowd.instance(1), wait_crowd.instance(2)
    gate.begin_wait(one, 1, "run:1", [two.id])
    gate.take_lock(two, 1, "run:1", "x")
    assert wait_crowd.stuck(gate) == set()
    prefix = "{crowd}"
    gate.redis.hset(f"{prefix}:wait:{two.id}", "needs", 1)
    gate.redis.sadd(f"{prefix}:targets:{two.id}", one.id)
    assert wait_crowd.stuck(gate) >= {one.id, two.id}
