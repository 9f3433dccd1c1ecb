"""Shards of one gate must not mix their tenants up, nor lose what concerns all of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from orchestrator.admission.gate import Gate
from orchestrator.admission.scripts import Library
from orchestrator.domain.ids import partition_of, partition_of_id
from orchestrator.domain.limits import Limits
from orchestrator.domain.verdict import Decision
from tests.support.clock import PLAIN_MESSAGE
from tests.support.make import spawn_of

#: Tenants of three different shards of three.
TENANTS = ["a", "b", "c", "d", "e", "f"]
SHARDS = 3


@pytest.fixture
def gate(redis_url: str) -> Iterator[Gate]:
    with closing(Gate(redis_url, Library(PLAIN_MESSAGE), name="cut", shards=SHARDS)) as gate:
        for number in range(SHARDS):
            gate.begin_rebuild("token", 60.0, number)
        gate.configure(Limits(), lease=60.0, dispatch=60.0, outbox=False)
        for number in range(SHARDS):
            assert gate.finish_rebuild("token", number)
        gate.heartbeat("worker", "default", 99, [])
        yield gate


def test_the_tenants_of_the_tests_fall_into_all_shards() -> None:
    assert {partition_of(tenant) % SHARDS for tenant in TENANTS} == set(range(SHARDS))


def test_an_id_knows_the_shard_of_its_tenant(gate: Gate) -> None:
    for tenant in TENANTS:
        one = spawn_of(tenant=tenant)
        assert partition_of_id(one.id) == partition_of(tenant)
        assert gate.shard_of_id(one.id) == gate.shard_of(tenant)


def test_each_tenant_is_known_to_its_shard_alone(gate: Gate) -> None:
    news = [spawn_of(tenant=tenant) for tenant in TENANTS]
    verdicts = gate.check_in_many(news, ["queue"] * len(news))
    assert [verdict.decision for verdict in verdicts] == [Decision.ADMITTED] * len(news)
    for new in news:
        found = [shard.redis.exists(shard.key("instance", new.id)) for shard in gate.shards]
        assert found == [number == gate.shard_of(new.tenant) for number in range(SHARDS)]


def test_a_life_needs_no_more_than_the_id(gate: Gate) -> None:
    news = [spawn_of(tenant=tenant) for tenant in TENANTS]
    gate.check_in_many(news, ["queue"] * len(news))
    assert gate.follow_many(news) == ["dispatched"] * len(news)
    assert gate.held() == len(news)
    assert gate.unknown([new.id for new in news]) == []
    pulse = gate.heartbeat("worker", "default", 99, [(new.id, 1) for new in news])
    assert not pulse.doubtful
    for new in news[:2]:
        assert gate.suspend(new.id, 1, "worker")
        assert gate.resume(new.id, 1).place == "dispatched"
    gate.cancel([new.id for new in news[2:]])
    assert {gate.glance(new.id).stop for new in news[2:]} == {"CANCELLED"}
    for new in news:
        gate.release(new.id, gate.glance(new.id).attempt)
    assert gate.held() == 0
    assert sorted(gate.unknown([new.id for new in news])) == sorted(new.id for new in news)


def test_a_worker_offers_no_more_than_it_has(gate: Gate) -> None:
    for capacity in (1, 2, 3, 7):
        for _ in range(SHARDS):
            gate.heartbeat("small", "gpu", capacity, [])
            assert gate.workers()["small"] == {"gpu": capacity}


def test_all_of_a_worker_can_come_to_serve_one_shard(gate: Gate) -> None:
    """What is free is dealt out again with each beat, to whoever fills it."""
    gate.heartbeat("only", "gpu", 6, [])
    news = [spawn_of(tenant="a", pool="gpu", session=f"s{number}") for number in range(6)]
    gate.check_in_many(news, ["queue"] * len(news))
    gate.follow_many(news)
    for _ in range(20):
        running = [(new.id, 1) for new in news if gate.glance(new.id).place == "dispatched"]
        gate.heartbeat("only", "gpu", 6, running)
        gate.pump()
    assert len(running) == 6


def test_an_emptied_shard_leaves_the_others_open(gate: Gate) -> None:
    rebuilt: list[int] = []

    def rebuild(number: int) -> None:
        rebuilt.append(number)
        gate.begin_rebuild("again", 60.0, number)
        gate.configure(Limits(), lease=60.0, dispatch=60.0, outbox=False)
        gate.finish_rebuild("again", number)

    gate.on_empty = rebuild
    lost = gate.shards[gate.shard_of("a")]
    for name in lost.redis.scan_iter("{" + lost.name + "}*"):
        lost.redis.delete(name)
    news = [spawn_of(tenant=tenant) for tenant in TENANTS]
    gate.check_in_many(news, ["queue"] * len(news))
    assert rebuilt == [gate.shard_of("a")]
