"""Eight processes with wrong clocks call the same resources: no limit is exceeded, by nobody."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import closing

import pytest

from orchestrator.admission.calls import Caller
from orchestrator.admission.gate import Gate
from orchestrator.admission.keys import key
from orchestrator.domain.call import Amounts
from tests.gate import callers, crowd
from tests.gate.callers import FEW, FRAIL, RATE
from tests.gate.test_eight_processes import WRONG
from tests.gate.together import PROCESSES, all_at_once

OPERATIONS = 250


@pytest.fixture
def gate(redis_url: str) -> Iterator[Gate]:
    with closing(crowd.connect(redis_url)) as gate:
        gate.begin_rebuild("token", 10.0)
        gate.configure(crowd.LIMITS, lease=crowd.LEASE, dispatch=crowd.DISPATCH, outbox=False)
        gate.declare([RATE, FEW, FRAIL])
        gate.finish_rebuild("token")
        yield gate


def test_no_limit_of_a_resource_is_ever_exceeded(gate: Gate, redis_url: str) -> None:
    begin = callers.server_seconds(gate)
    parts = [(redis_url, number, OPERATIONS, skew) for number, skew in enumerate(WRONG)]
    reports = all_at_once(callers.take_part, parts, gate)
    seconds = callers.server_seconds(gate) - begin
    assert [fault for report in reports for fault in report.faults] == []
    taken = sum((report.taken for report in reports), Counter[str]())
    refused = sum((report.refused for report in reports), Counter[str]())
    # Never more than the bucket held and gained,
    bucket = RATE.buckets()["requests"]
    assert bucket.capacity <= taken["rate"] <= bucket.capacity + bucket.refill * seconds / 60
    # and each kind of limit was met.
    assert refused["rate RATE_LIMITED"] > PROCESSES
    assert refused["few RESOURCE_BUSY"] > PROCESSES
    assert refused["frail BREAKER_OPEN"] > PROCESSES
    # No half-open breaker let more through than its probes, all processes together.
    half_open = set().union(*(report.half_open for report in reports))
    told = sum((report.told for report in reports), Counter[int]())
    assert half_open
    assert max(told[generation] for generation in half_open) <= 2


def test_the_watch_is_not_blind(gate: Gate) -> None:
    for number in range(3):
        gate.acquire(Caller(str(number), "few", "t"), Amounts(), may_wait=False)
    assert callers.watch(gate) == []
    gate.redis.zadd(key(gate.name, "calls", "few"), {"smuggled": 1e15})
    gate.redis.hset(key(gate.name, "breaker", "frail"), mapping={"state": "half_open", "probed": 3})
    assert callers.watch(gate) == ["few 4 > 3", "probes 3 > 2"]
