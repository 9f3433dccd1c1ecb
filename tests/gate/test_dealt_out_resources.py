"""With several shards the parts of a resource are together never more than the whole."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from orchestrator.admission.calls import Caller
from orchestrator.admission.gate import Gate
from orchestrator.admission.scripts import Library
from orchestrator.domain.call import Amounts, Outcome
from orchestrator.domain.ids import new_id
from orchestrator.domain.limits import Limits
from orchestrator.domain.provider import Hint
from orchestrator.domain.resource import Resource
from tests.gate.test_shards import SHARDS, TENANTS
from tests.support.clock import PLAIN_MESSAGE

SHARED = Resource("shared", requests_per_minute=60, burst=0.5, concurrency=7)
EACH = Resource("each", requests_per_minute=None, concurrency=1, per_tenant=True)


@pytest.fixture
def gate(redis_url: str) -> Iterator[Gate]:
    with closing(Gate(redis_url, Library(PLAIN_MESSAGE), name="cut", shards=SHARDS)) as gate:
        for number in range(SHARDS):
            gate.begin_rebuild("token", 60.0, number)
        gate.configure(Limits(), lease=60.0, dispatch=60.0, outbox=False)
        gate.declare([SHARED, EACH])
        for number in range(SHARDS):
            assert gate.finish_rebuild("token", number)
        yield gate


def _call(gate: Gate, resource: str, tenant: str) -> Caller | None:
    caller = Caller(new_id(tenant), resource, tenant)
    verdict = gate.acquire(caller, Amounts(), may_wait=False)
    return caller if verdict.decision == "taken" else None


def test_what_all_share_is_dealt_out(gate: Gate) -> None:
    taken = [one for tenant in TENANTS for _ in range(5) if (one := _call(gate, "shared", tenant))]
    assert len(taken) == 6  # two in each of three shards; the seventh cannot be dealt out
    [found] = gate.breakers()
    assert (found.resource, found.tenant, found.calls) == ("shared", None, 6)
    gate.renew_calls(taken)
    for one in taken:
        gate.settle_call(one, Outcome.SUCCESS, {})
    [found] = gate.breakers()
    assert found.calls == 0
    assert 24 <= found.levels["requests"] < 25


def test_what_each_tenant_has_is_its_own(gate: Gate) -> None:
    assert all(_call(gate, "each", tenant) for tenant in TENANTS)
    assert not any(_call(gate, "each", tenant) for tenant in TENANTS)
    assert [one.tenant for one in gate.breakers()] == TENANTS


def test_a_providers_word_is_heard_in_all_shards(gate: Gate) -> None:
    caller = _call(gate, "shared", TENANTS[0])
    assert caller is not None
    gate.settle_call(caller, Outcome.RATE_LIMITED, {}, Hint(30.0, {"requests": 3}))
    assert not any(_call(gate, "shared", tenant) for tenant in TENANTS)


def test_an_operators_word_is_heard_in_all_shards(gate: Gate) -> None:
    gate.force_breaker("shared", None, "open")
    assert not any(_call(gate, "shared", tenant) for tenant in TENANTS)
    gate.force_breaker("shared", None, "auto")
    assert any(_call(gate, "shared", tenant) for tenant in TENANTS)
