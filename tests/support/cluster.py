"""A Redis Cluster of three servers on loopback, for tests."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import redis

from orchestrator.devstack.valkey import ValkeyServer
from tests.support.waiting import wait_until

#: What a key can be hashed to (Redis Cluster specification).
SLOTS = 16_384


class ClusterServer(ValkeyServer):
    """A server that keeps some of the keys and knows who keeps the others."""

    def _settings(self) -> str:
        return super()._settings() + (
            "cluster-enabled yes\ncluster-node-timeout 2000\nmasterauth secret\n"
            f"cluster-port {self.port + 10_000 if self.port < 55_000 else self.port - 10_000}\n"
        )


@contextmanager
def cluster(folder: Path, servers: int = 3) -> Iterator[list[str]]:
    """The URLs of servers that share all keys evenly."""
    with ExitStack() as stack:
        nodes = [
            stack.enter_context(_started(folder / str(number), folder / f"{number}.log"))
            for number in range(servers)
        ]
        clients = [stack.enter_context(redis.Redis.from_url(node.url)) for node in nodes]
        for number, client in enumerate(clients):
            first, end = number * SLOTS // servers, (number + 1) * SLOTS // servers
            client.execute_command("CLUSTER ADDSLOTSRANGE", first, end - 1)
            client.execute_command("CLUSTER SET-CONFIG-EPOCH", number + 1)
        for node in nodes[1:]:
            clients[0].execute_command("CLUSTER MEET", "127.0.0.1", node.port, _bus_port(node))
        for client in clients:
            wait_until(functools.partial(_is_whole, client), "the cluster is whole", 30.0)
        yield [node.url for node in nodes]


def _bus_port(node: ValkeyServer) -> int:
    return node.port + 10_000 if node.port < 55_000 else node.port - 10_000


def _is_whole(client: redis.Redis) -> bool:
    info = client.execute_command("CLUSTER INFO")
    return bool(info["cluster_state"] == "ok" and info["cluster_known_nodes"] == "3")


@contextmanager
def _started(folder: Path, log: Path) -> Iterator[ClusterServer]:
    node = ClusterServer(folder, "secret", log, durable=False)
    node.start()
    try:
        yield node
    finally:
        node.stop()
