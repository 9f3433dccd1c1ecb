"""Danger: a port that looks free is not, or is taken while a server restarts."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from orchestrator.devstack import EmbeddedServers, ServiceFailed
from orchestrator.devstack.ports import free_port, is_free


def test_a_port_somebody_listens_on_is_not_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert not is_free(port)
        assert free_port(preferred=port) != port


def test_the_preferred_port_is_taken_when_it_is_free() -> None:
    port = free_port()
    assert free_port(preferred=port) == port


def test_ports_are_below_those_of_outgoing_connections() -> None:
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert all(free_port() < first for _ in range(50))


def test_ports_are_free_after_the_stop(folder: Path) -> None:
    with EmbeddedServers(folder, durable=False) as servers:
        ports = [server.port for server in servers.running]
        assert not any(is_free(port) for port in ports)
    assert all(is_free(port) for port in ports)


def test_a_last_port_that_was_taken_meanwhile_is_replaced(folder: Path) -> None:
    with EmbeddedServers(folder, durable=False, database=False) as servers:
        last = servers.redis.port
    with (
        socket.create_server(("127.0.0.1", last)),
        EmbeddedServers(folder, durable=False, database=False) as servers,
    ):
        assert servers.redis.port != last


def test_a_port_that_was_asked_for_is_never_replaced(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.devstack.server._PATIENCE_S", 0.0)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        servers = EmbeddedServers(folder, durable=False, database=False, redis_port=port)
        with pytest.raises(ServiceFailed, match="in use"):
            servers.start()
