"""No minute, wherever it begins, may see more than the limit; not even one in which Redis died."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest

from orchestrator.admission.calls import Caller
from orchestrator.domain.call import Amounts
from orchestrator.domain.limits import Limits
from orchestrator.domain.resource import Resource
from tests.gate.traced import TracedGate

MINUTE = 60_000
MINUTES = 6


def _minutes(taken: list[tuple[int, float]]) -> Iterator[float]:
    """What each minute has seen that ends with a call, both ends counted."""
    for end, _ in taken:
        yield sum(amount for at, amount in taken if end - MINUTE <= at <= end)


def _lose_everything(gate: TracedGate, resource: Resource) -> None:
    """Redis is emptied and the gate rebuilt at once."""
    now = gate.clock.now
    gate.redis.flushall()
    gate.clock.set(now)
    gate.begin_rebuild("token", 60.0)
    gate.set_limits(Limits())
    gate.note_loss("token")
    gate.declare([resource])
    gate.finish_rebuild("token")


def _call_greedily(
    gate: TracedGate, resource: Resource, random: Random, losses: int, most_tokens: int = 0
) -> list[tuple[int, float]]:
    """Call whenever it is allowed, sometimes after a pause; answers when, and with how much."""
    gate.declare([resource])
    begin = gate.clock.now
    lost_at = sorted(begin + random.randrange(MINUTES * MINUTE) for _ in range(losses))
    taken: list[tuple[int, float]] = []
    while gate.clock.now < begin + MINUTES * MINUTE:
        if lost_at and gate.clock.now >= lost_at[0]:
            lost_at.pop(0)
            _lose_everything(gate, resource)
        tokens = random.randint(1, most_tokens) if most_tokens else 0
        caller = Caller(str(len(taken)), resource.name, "tenant")
        verdict = gate.acquire(caller, Amounts(1, tokens), may_wait=False)
        gate.take_calls()
        if verdict.decision == "taken":
            taken.append((gate.clock.now, tokens or 1))
            if random.random() < 0.02:
                gate.clock.advance(random.choice([1.0, 30.0, 59.999, 70.0]))
        else:
            assert verdict.retry_after is not None
            gate.clock.advance(verdict.retry_after)
    return taken


@pytest.mark.parametrize("losses", [0, 3])
@pytest.mark.parametrize(("limit", "burst"), [(1, 0.1), (2, 0.1), (7, 0.5), (60, 0.1), (60, 0.9)])
def test_no_sliding_minute_sees_more_requests(
    gate: TracedGate, limit: int, burst: float, losses: int
) -> None:
    resource = Resource("r", requests_per_minute=limit, burst=burst, breaker=None)
    taken = _call_greedily(gate, resource, Random(limit), losses)
    assert max(_minutes(taken)) <= limit
    # and it is no bound by doing nothing
    sustained = resource.buckets()["requests"].refill
    assert len(taken) >= sustained * MINUTES * (0.6 if limit > 2 else 0.3)


@pytest.mark.parametrize("losses", [0, 3])
def test_no_sliding_minute_sees_more_tokens(gate: TracedGate, losses: int) -> None:
    resource = Resource("r", requests_per_minute=None, input_tokens_per_minute=1_000, breaker=None)
    taken = _call_greedily(gate, resource, Random(losses), losses, most_tokens=250)
    assert max(_minutes(taken)) <= 1_000
    assert sum(amount for _, amount in taken) >= 750 * MINUTES * 0.5
