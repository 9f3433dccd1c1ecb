"""Danger: what agents work with stands in logs, in Redis, in Flower, or in the audit trail."""

from __future__ import annotations

import base64
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import psycopg
import pytest
import redis
import sqlalchemy as sa

from orchestrator import AgentFailed, Orchestrator
from orchestrator.config.settings import Settings
from tests.support.processes import Programs

CANARY = "c4nary-in-a-cage"
KEY = base64.b64encode(b"a master key of 32 bytes, really").decode()


@pytest.fixture
def settings(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """With everything that is secret in a setting."""
    monkeypatch.setenv("ORCHESTRATOR_ENCRYPTION_KEY", KEY)
    monkeypatch.setenv("ORCHESTRATOR_LLM_API_KEY", f"{CANARY}-llm")
    monkeypatch.setenv("ORCHESTRATOR_HTTP_CALLBACK_SECRET", f"{CANARY}-callbacks")
    monkeypatch.setenv("ORCHESTRATOR_LOG_LEVEL", "DEBUG")
    monkeypatch.setenv("ORCHESTRATOR_TASK_EVENTS", "true")
    return Settings.load()


@pytest.fixture
def sql(database_url: str) -> Iterator[psycopg.Connection]:
    """The test's database."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


@contextmanager
def watched(url: str) -> Iterator[list[bytes]]:
    """All that Redis is asked meanwhile: scripts, Celery's messages, its events, notices."""
    seen: list[bytes] = []
    at = urlsplit(url)
    with socket.create_connection((at.hostname or "", at.port or 0), timeout=120) as connection:
        connection.sendall(f"AUTH {at.password}\r\nMONITOR\r\n".encode())

        def listen() -> None:
            while b"the end of it" not in (seen[-1] if seen else b""):
                seen.append(connection.recv(1 << 20))

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        yield seen
        with redis.Redis.from_url(url) as other:
            other.echo("the end of it")
        thread.join(30)
        assert not thread.is_alive()


def readable(asked: bytes) -> str:
    """What was asked, with the bodies of Celery's messages as they were before they were packed."""
    bodies = re.findall(rb'body\\": \\"([A-Za-z0-9+/=]+)', asked)
    return (asked + b"\n".join(map(base64.b64decode, bodies))).decode(errors="replace")


def test_no_secret_is_told(
    settings: Settings, start: Programs, sql: psycopg.Connection, redis_url: str
) -> None:
    with watched(redis_url) as asked:
        worker, beat = start.worker(), start.beat()
        with Orchestrator.from_settings(settings) as service:
            echo = service.spawn("echo", {"word": CANARY})
            assert echo.result(timeout=60) == {"word": CANARY}
            failing = service.spawn("fail", {"message": CANARY})
            with pytest.raises(AgentFailed, match=CANARY):
                failing.result(timeout=60)
        worker.stop()
        beat.stop()
    logs = worker.log.read_text() + beat.log.read_text()
    password = sa.make_url(str(settings.database_url)).password
    told = {
        "logs": logs,
        "Redis": readable(b"".join(asked)),
        "PostgreSQL": "\n".join(
            str(row)
            for table in ("events", "instances", "audit_seals", "agents", "housekeeping")
            for row in sql.execute(f"SELECT {table}::text FROM {table}".encode())
        ),
    }
    # The watch has seen what it is for.
    assert echo.id in told["Redis"]
    assert "task-succeeded" in told["Redis"]
    assert echo.id in logs
    for where, text in told.items():
        assert CANARY not in text, where
        assert KEY not in text, where
        assert password, "the test's database has one"
        assert password not in text, where
