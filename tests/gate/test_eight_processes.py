"""Eight processes spawn, run, wait and end at once: no limit is exceeded, not by one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import cast

import pytest

from orchestrator.admission.gate import Gate
from orchestrator.admission.keys import key
from tests.gate import crowd
from tests.gate.together import PROCESSES, all_at_once
from tests.support.make import spawn_of

OPERATIONS = 150
RIGHT = [0.0] * PROCESSES
WRONG = [-86_400.0, -600.0, -61.0, -5.0, 5.0, 61.0, 600.0, 86_400.0]


@pytest.fixture
def gate(redis_url: str) -> Iterator[Gate]:
    with closing(crowd.connect(redis_url)) as gate:
        gate.begin_rebuild("token", 10.0)
        gate.configure(crowd.LIMITS, lease=crowd.LEASE, dispatch=crowd.DISPATCH, outbox=False)
        gate.finish_rebuild("token")
        for number in range(PROCESSES):
            gate.heartbeat(f"worker-{number}", crowd.POOLS[(number + 1) % 2], 2, [])
        yield gate


@pytest.mark.parametrize("skews", [RIGHT, WRONG], ids=["right clocks", "wrong clocks"])
def test_no_limit_is_ever_exceeded(gate: Gate, redis_url: str, skews: Sequence[float]) -> None:
    parts = [(redis_url, number, OPERATIONS, skew) for number, skew in enumerate(skews)]
    reports = all_at_once(crowd.take_part, parts, gate)
    # At no moment was anything wrong
    assert [fault for report in reports for fault in report.faults] == []
    # and something did happen
    done = sum((report.done for report in reports), Counter[str]())
    assert min(done.values()) > PROCESSES
    # Whatever is left finishes, and leaves no slot and nobody in line
    read = [text for report in reports for text in report.read] + _finish(gate)
    assert (gate.held(), gate.backlog()) == (0, 0)
    assert crowd.watch(gate) == []
    # No attempt was handed out twice, and all that was accepted was handed out
    assert Counter(read).most_common(1)[0][1] == 1
    accepted = {one for report in reports for one in report.accepted}
    assert accepted == {text.split(" ")[0] for text in read}


def _finish(gate: Gate) -> list[str]:
    """End all that holds a slot or waits, until there is nothing; answers the messages read."""
    read = []
    while gate.held() or gate.backlog() or _members(gate, "suspended"):
        while text := crowd.read_message(gate):
            read.append(text)
        for name in _members(gate, "leases") + _members(gate, "suspended"):
            gate.release(name, gate.glance(name).attempt)
    return read


def _members(gate: Gate, name: str) -> list[str]:
    return cast(list[str], gate.redis.zrange(key(gate.name, name), 0, -1))


def test_the_watch_is_not_blind(gate: Gate) -> None:
    for number in range(5):
        tenant, session = crowd.HOMES[number]
        gate.check_in(spawn_of(tenant=tenant, session=session, pool="pq"[number % 2]), "queue")
    assert crowd.watch(gate) == []
    gate.redis.hset(key(gate.name, "config"), mapping={"global": 4, "tenant": 1})
    gate.redis.srem(key(gate.name, "slots_pool", "p"), *_members(gate, "leases"))
    faults = " ".join(crowd.watch(gate))
    assert "global 5 > 4" in faults
    assert "tenant:a 2 > 1" in faults
    assert "pool 2 of 5" in faults
