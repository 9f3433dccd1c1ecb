"""On a Redis Cluster each shard's keys must stay together, and be found wherever they are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from orchestrator.admission.gate import Gate
from orchestrator.admission.scripts import Library
from orchestrator.domain.limits import Limits
from orchestrator.domain.verdict import Decision
from tests.support.clock import PLAIN_MESSAGE
from tests.support.cluster import cluster
from tests.support.make import spawn_of

#: As many as need all three servers.
SHARDS = 6


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    with cluster(tmp_path_factory.mktemp("cluster")) as urls:
        yield urls


def open_gate(url: str, name: str, shards: int) -> Gate:
    gate = Gate(url, Library(PLAIN_MESSAGE), name=name, shards=shards)
    for number in range(shards):
        gate.begin_rebuild("token", 60.0, number)
    gate.configure(Limits(), lease=60.0, dispatch=60.0, outbox=False)
    for number in range(shards):
        assert gate.finish_rebuild("token", number)
    return gate


@pytest.mark.parametrize("asked", [0, 1, 2])
def test_any_server_leads_to_the_one_that_holds_the_gate(servers: list[str], asked: int) -> None:
    with closing(open_gate(servers[asked], f"whole{asked}", 1)) as gate:
        gate.heartbeat("worker", "default", 10, [])
        new = spawn_of()
        assert gate.check_in(new, "queue").decision is Decision.ADMITTED
        assert gate.follow(new) == "dispatched"
        assert gate.held() == 1
        gate.release(new.id, 1)
        assert gate.held() == 0


def test_shards_spread_over_the_servers(servers: list[str]) -> None:
    with closing(open_gate(servers[0], "cut", SHARDS)) as gate:
        gate.heartbeat("worker", "default", 600, [])
        news = [spawn_of(tenant=f"t{number}") for number in range(40)]
        verdicts = gate.check_in_many(news, ["queue"] * len(news))
        assert {verdict.decision for verdict in verdicts} == {Decision.ADMITTED}
        gate.follow_many(news)
        assert gate.held() == 40
        assert gate.workers() == {"worker": {"default": 600}}
        ports = {shard.redis.connection_pool.connection_kwargs["port"] for shard in gate.shards}
        assert len(ports) == len(servers)
