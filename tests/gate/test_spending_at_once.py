"""Eight processes spend one budget at once: nothing of it is exceeded, and nothing gets lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import closing

import pytest

from orchestrator.admission.gate import Gate
from orchestrator.domain.limits import Limits
from orchestrator.domain.resource import Resource
from tests.gate import spenders
from tests.gate.rows import load_of
from tests.gate.together import PROCESSES, all_at_once

OPERATIONS = 120


@pytest.fixture
def gate(redis_url: str) -> Iterator[Gate]:
    with closing(spenders.connect(redis_url)) as gate:
        gate.begin_rebuild("token", 10.0)
        wide = Limits(session_concurrency=500, tenant_concurrency=500)
        gate.configure(wide, lease=60.0, dispatch=60.0, outbox=False)
        gate.declare([Resource("llm", requests_per_minute=None, breaker=None)])
        gate.load_budget(load_of(spenders.SESSION, "tenant", "session"))
        gate.finish_rebuild("token")
        gate.heartbeat("worker", "default", 500, [])
        yield gate


def test_nothing_of_a_budget_is_ever_exceeded(gate: Gate, redis_url: str) -> None:
    parts = [(redis_url, number, OPERATIONS) for number in range(PROCESSES)]
    reports = all_at_once(spenders.take_part, parts, gate)
    assert [fault for report in reports for fault in report.faults] == []
    # Something did happen, also at the bounds
    done = sum((report.done for report in reports), Counter[str]())
    assert min(done[name] for name in ("spawned", "refused", "called", "ended")) > PROCESSES
    # All shares came back; what was spent is what was settled, and each recorded spawn counts
    [session] = gate.read_budgets("tenant", "session")
    uses = {use.quantity: use for use in session.uses}
    assert session.live == 0
    assert all((use.reserved, use.granted) == (0, 0) for use in session.uses)
    assert uses["tokens"].used == sum(report.tokens for report in reports)
    assert uses["spawns"].used == sum(report.spawns for report in reports)
    assert gate.redis.hlen("{spenders}:account_of") == 0
    assert gate.redis.smembers("{spenders}:accounts") == {"s 6 tenantsession"}


def test_the_watch_is_not_blind(gate: Gate) -> None:
    assert spenders.watch(gate) == []
    account = "{spenders}:account:s 6 tenantsession"
    gate.redis.hset(account, mapping={"tokens_lent": 2_001, "usd_held": -1, "live": 0})
    gate.redis.sadd("{spenders}:account_live:s 6 tenantsession", "one")
    assert len(spenders.watch(gate)) == 3
