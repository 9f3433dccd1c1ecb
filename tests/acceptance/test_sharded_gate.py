"""A gate in parts must serve every tenant as one in one piece does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from orchestrator import Orchestrator, SpawnRequest, State
from orchestrator.config.settings import Settings
from tests.support.cluster import cluster
from tests.support.processes import Programs
from tests.support.waiting import wait_until

SHARDS = "3"
TENANTS = ["a", "b", "c", "d", "e", "f"]


@pytest.fixture
def sharded(settings: Settings, start: Programs) -> Iterator[Orchestrator]:
    """A worker, a beat and a service with a gate of three parts in one Redis."""
    start.beat(ORCHESTRATOR_GATE_SHARDS=SHARDS)
    start.worker(ORCHESTRATOR_GATE_SHARDS=SHARDS)
    with Orchestrator.from_settings(settings.model_copy(update={"gate_shards": 3})) as client:
        yield client


def test_trees_of_all_tenants_run(sharded: Orchestrator) -> None:
    roots = sharded.spawn_many(
        [SpawnRequest("tree", {"fan": 2, "depth": 2}, tenant=tenant) for tenant in TENANTS]
    )
    assert [root.result(timeout=30) for root in roots] == [7] * len(TENANTS)


def test_what_is_cancelled_stops(sharded: Orchestrator, ledger: Path, go: Path) -> None:
    held = [
        sharded.spawn("hold", {"ledger": str(ledger), "until": str(go)}, tenant=tenant)
        for tenant in TENANTS
    ]
    wait_until(lambda: len(ledger.read_text().splitlines()) == len(TENANTS), "all run")
    for one in held:
        one.cancel()
    assert {one.status() for one in held} == {State.CANCELLED}
    again = sharded.spawn("add", {"a": 1, "b": 2}, tenant="a")
    assert again.result(timeout=30) == 3


def test_an_emptied_redis_is_filled_again(
    settings: Settings, sharded: Orchestrator, ledger: Path, go: Path
) -> None:
    held = [
        sharded.spawn("hold", {"ledger": str(ledger), "until": str(go)}, tenant=tenant)
        for tenant in TENANTS
    ]
    wait_until(lambda: len(ledger.read_text().splitlines()) == len(TENANTS), "all run")
    with redis.Redis.from_url(str(settings.redis_url)) as client:
        client.flushall()
    go.touch()
    for one in held:
        one.result(timeout=30)
    assert len(ledger.read_text().splitlines()) == len(TENANTS)


def test_on_a_cluster_with_a_broker_beside_it(
    settings: Settings, start: Programs, tmp_path: Path
) -> None:
    with cluster(tmp_path / "cluster") as servers:
        apart = {
            "ORCHESTRATOR_REDIS_URL": servers[0],
            "ORCHESTRATOR_BROKER_URL": str(settings.redis_url),
            "ORCHESTRATOR_GATE_SHARDS": SHARDS,
        }
        start.beat(**apart)
        start.worker(**apart)
        located = settings.model_copy(
            update={
                "redis_url": servers[1],
                "broker_url": settings.redis_url,
                "gate_shards": int(SHARDS),
            }
        )
        with Orchestrator.from_settings(located) as client:
            roots = [
                client.spawn("tree", {"fan": 2, "depth": 2}, tenant=tenant) for tenant in TENANTS
            ]
            assert [root.result(timeout=40) for root in roots] == [7] * len(TENANTS)
        start.stop_all()
