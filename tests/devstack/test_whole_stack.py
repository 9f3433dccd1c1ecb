"""Danger: the parts work alone but not together: a whole stack with worker, beat and Flower."""

from __future__ import annotations

import base64
import http.client
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from orchestrator.config.stack_file import StackFile
from orchestrator.devstack import Stack, StackOptions, scratch_folder
from tests.support.waiting import is_gone, wait_until

_AGENTS = ("examples.hello",)


@pytest.fixture(scope="module")
def events() -> list[str]:
    return []


@pytest.fixture(scope="module")
def stack(events: list[str]) -> Iterator[Stack]:
    def note(name: str, detail: str) -> None:
        events.append(f"{name}: {detail}")

    with scratch_folder() as folder:
        options = StackOptions(folder, concurrency=2, agents=_AGENTS, durable=False)
        with Stack(options, on_event=note) as running:
            yield running


def _get(url: str, path: str, login: str | None = None) -> int:
    """The HTTP status of `path`, asked for with `user:password` if given."""
    where = urlsplit(url)
    assert where.hostname
    headers = {}
    if login:
        headers["Authorization"] = "Basic " + base64.b64encode(login.encode()).decode()
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=20)
    try:
        connection.request("GET", path, headers=headers)
        return connection.getresponse().status
    finally:
        connection.close()


def test_all_parts_run(stack: Stack, events: list[str]) -> None:
    parts = ["redis", "postgres", "worker-1", "beat", "flower"]
    assert list(stack.pids()) == parts
    assert events[: len(parts) + 1] == [
        "redis: ready",
        "postgres: ready",
        "migrate: done",
        "worker-1: ready",
        "beat: ready",
        "flower: ready",
    ]


def test_flower_asks_for_a_password(stack: Stack) -> None:
    assert stack.flower_url
    where = urlsplit(stack.flower_url)
    assert _get(stack.flower_url, "/workers") == http.HTTPStatus.UNAUTHORIZED
    assert _get(stack.flower_url, "/workers", "orchestrator:guess") == http.HTTPStatus.UNAUTHORIZED
    login = f"{where.username}:{where.password}"
    assert _get(stack.flower_url, "/workers", login) == http.HTTPStatus.OK


def test_no_command_line_shows_a_password(stack: Stack) -> None:
    urls = (stack.redis_url, stack.database_url, stack.flower_url or "")
    secrets = [(urlsplit(url).password or "").encode() for url in urls]
    for pid in stack.pids().values():
        command_line = Path(f"/proc/{pid}/cmdline").read_bytes()
        assert not any(secret in command_line for secret in secrets)


def test_a_killed_worker_is_replaced(stack: Stack, events: list[str]) -> None:
    first = stack.pids()["worker-1"]
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: events.count("worker-1: ready") == 2, "the worker is ready again")
    assert stack.pids()["worker-1"] != first


def test_it_stops_in_order_and_leaves_nothing() -> None:
    events: list[str] = []
    with scratch_folder() as folder:
        options = StackOptions(folder, workers=2, agents=_AGENTS, durable=False)
        with Stack(
            options, on_event=lambda name, detail: events.append(f"{name}: {detail}")
        ) as stack:
            running = stack.pids()
            assert StackFile.read(folder) is not None
            events.clear()
        assert StackFile.read(folder) is None
    assert events == [
        "beat: stopping",
        "flower: stopping",
        "worker-1: stopping",
        "worker-2: stopping",
        "servers: stopping",
    ]
    assert all(is_gone(pid) for pid in running.values())
