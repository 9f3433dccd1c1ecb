"""Danger: somebody else on the machine reads or uses the embedded servers."""

from __future__ import annotations

import stat
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from orchestrator.devstack import EmbeddedServers


def _password(url: str) -> str:
    return urlsplit(url).password or ""


def _listening_addresses() -> set[tuple[str, int]]:
    """Address (as the kernel writes it) and port of every listening TCP socket."""
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            local, state = line.split()[1], line.split()[3]
            address, port = local.split(":")
            if state == "0A":
                found.add((address, int(port, 16)))
    return found


@pytest.mark.parametrize("guess", [None, "guess"])
def test_redis_refuses_a_wrong_password(servers: EmbeddedServers, guess: str | None) -> None:
    once = Retry(NoBackoff(), 0)
    port = servers.redis.port
    with (
        redis.Redis("127.0.0.1", port, password=guess, retry=once) as stranger,
        pytest.raises(redis.AuthenticationError),
    ):
        stranger.ping()


@pytest.mark.parametrize("guess", ["", "guess"])
def test_postgres_refuses_a_wrong_password(servers: EmbeddedServers, guess: str) -> None:
    url = servers.database_url.replace(_password(servers.database_url), guess)
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(url)


def test_both_listen_on_loopback_only(servers: EmbeddedServers) -> None:
    ports = {servers.redis.port, servers.database.port}
    addresses = {address for address, port in _listening_addresses() if port in ports}
    assert addresses == {"0100007F"}  # 127.0.0.1, lowest byte first


def test_no_command_line_shows_a_password(servers: EmbeddedServers) -> None:
    secrets = [_password(url).encode() for url in (servers.redis_url, servers.database_url)]
    for server in servers.running:
        command_line = Path(f"/proc/{server.pid}/cmdline").read_bytes()
        assert not any(secret in command_line for secret in secrets)


def test_only_the_owner_can_read_a_file_with_a_password(servers: EmbeddedServers) -> None:
    folder = servers.redis.folder.parent
    secrets = [_password(url).encode() for url in (servers.redis_url, servers.database_url)]
    telling = [
        path
        for path in folder.rglob("*")
        if path.is_file() and any(secret in path.read_bytes() for secret in secrets)
    ]
    assert {path.name for path in telling} == {
        "redis.password",
        "postgres.password",
        "server.conf",
    }
    assert {stat.S_IMODE(path.stat().st_mode) for path in telling} == {0o600}


def test_others_cannot_list_the_folder_nor_read_its_logs(servers: EmbeddedServers) -> None:
    folder = servers.redis.folder.parent
    assert stat.S_IMODE(folder.stat().st_mode) == 0o711
    assert stat.S_IMODE((folder / "logs").stat().st_mode) == 0o700


def test_two_folders_have_different_passwords(servers: EmbeddedServers, folder: Path) -> None:
    with EmbeddedServers(folder, durable=False, database=False) as others:
        assert _password(others.redis_url) != _password(servers.redis_url)
