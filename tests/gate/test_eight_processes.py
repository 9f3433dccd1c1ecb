"""Eight processes spawn, run, wait and end at once: no limit is exceeded, not by one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from multiprocessing import get_context

import pytest

from orchestrator.admission.gate import Gate
from tests.gate import crowd
from tests.gate.crowd import Report
from tests.support.waiting import wait_until

PROCESSES, OPERATIONS = 8, 150
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
    reports = _all_at_once(gate, redis_url, skews)
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


def _all_at_once(gate: Gate, url: str, skews: Sequence[float]) -> list[Report]:
    with ProcessPoolExecutor(PROCESSES, get_context("spawn")) as pool:
        futures = [
            pool.submit(crowd.take_part, url, number, OPERATIONS, skew)
            for number, skew in enumerate(skews)
        ]
        wait_until(lambda: gate.redis.get("here") == str(PROCESSES), "all are here", 60.0)
        gate.redis.rpush("start", *range(PROCESSES))
        return [future.result() for future in futures]


def _finish(gate: Gate) -> list[str]:
    """End all that holds a slot or waits, until there is nothing; answers the messages read."""
    read = []
    while gate.held() or gate.backlog() or _suspended(gate):
        while text := crowd.read_message(gate):
            read.append(text)
        for name in (*gate.redis.zrange(gate.channel("leases"), 0, -1), *_suspended(gate)):
            gate.release(name, gate.glance(name).attempt)
    return read


def _suspended(gate: Gate) -> list[str]:
    return list(gate.redis.zrange(gate.channel("suspended"), 0, -1))
