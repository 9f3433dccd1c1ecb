"""Danger: an outcome that is told gets lost, is believed of anybody, or counts twice."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any

import pytest

from orchestrator.agents import callback
from orchestrator.agents import registry as registering
from orchestrator.agents.http import http_agent
from orchestrator.agents.registry import Registry
from orchestrator.domain.ids import new_id
from orchestrator.domain.lifecycle import State
from orchestrator.domain.retry import RetryPolicy
from orchestrator.engine.cancel import cancel
from orchestrator.gateway.callbacks import CallbackServer
from tests.engine.bench import Bench
from tests.support.waiting import wait_until
from tests.support.web_server import Say, WebServer

SECRET = "not much of a secret"


@pytest.fixture
def port(bench: Bench) -> Iterator[int]:
    """Where callbacks are taken."""
    server = CallbackServer(bench.deps, SECRET, "127.0.0.1", 0)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join(10)
    server.server_close()


@pytest.fixture
def remote(monkeypatch: pytest.MonkeyPatch, registry: Registry, port: int) -> Iterator[WebServer]:
    """The other side, which is told where to call."""
    monkeypatch.setattr(registering, "REGISTRY", registry)
    server = WebServer(lambda _: Say(202))
    with server.running():
        monkeypatch.setenv("ORCHESTRATOR_HTTP_AGENTS_ALLOW", f"127.0.0.1:{server.port}")
        monkeypatch.setenv("ORCHESTRATOR_HTTP_CALLBACK_URL", f"http://127.0.0.1:{port}/callbacks")
        monkeypatch.setenv("ORCHESTRATOR_HTTP_CALLBACK_SECRET", SECRET)
        http_agent("agent", url=f"{server.url}/jobs", retry=RetryPolicy.never())
        yield server


def post(port: int, path: str, body: Any, **headers: str) -> int:
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    try:
        connection.request("POST", path, text, headers)
        return connection.getresponse().status
    finally:
        connection.close()


def waiting(bench: Bench, remote: WebServer) -> tuple[str, str]:
    """An instance that waits to be called, and the path of the call."""
    one = bench.spawn("agent")
    bench.execute(one)
    assert bench.row(one).reason == "WAITING_FOR_SIGNAL"
    address = remote.asked[-1].body["callback"]
    return one, "/" + address.split("/", 3)[3]


def test_an_outcome_that_is_told_ends_the_wait(bench: Bench, remote: WebServer, port: int) -> None:
    one, path = waiting(bench, remote)
    assert bench.deps.gate.held() == 0
    assert post(port, path, {"result": {"pages": 3}}) == 202
    assert post(port, path, {"result": {"pages": 3}}) == 202
    assert post(port, path, {"result": "another"}) == 409
    bench.execute(one)
    assert bench.row(one).result == {"pages": 3}
    assert len(remote.asked) == 1
    assert post(port, path, {"result": 1}) in (409, 410)


def test_a_failure_that_is_told_is_one(bench: Bench, remote: WebServer, port: int) -> None:
    one, path = waiting(bench, remote)
    assert post(port, path, {"error": "no paper"}) == 202
    row = bench.execute(one)
    assert row.state is State.FAILED
    assert row.error is not None
    assert (row.error["type"], "no paper" in row.error["message"]) == ("RemoteFailed", True)


def test_a_lost_call_is_found_by_looking(
    bench: Bench, remote: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.agents.http.FIRST_LOOK", 0.01)
    remote.answer = lambda asked: (
        Say(202, None, {"Location": "/jobs/7"}) if asked.method == "POST" else Say(200, [1])
    )
    one = bench.spawn("agent")
    with bench.working(beating=True):
        wait_until(lambda: bench.row(one).state.is_terminal, "it has ended")
    assert bench.row(one).result == [1]


def test_nobody_else_can_tell(bench: Bench, remote: WebServer, port: int) -> None:
    one, path = waiting(bench, remote)
    for wrong in (path[:-1] + ("0" if path[-1] != "0" else "1"), "/", "/callbacks/x", f"/{one}"):
        assert post(port, wrong, {"result": 1}) == 404
    other = callback.address("http://h", "another secret of ours", callback.key_for(one, 0))
    assert post(port, "/" + other.split("/", 3)[3], {"result": 1}) == 404
    assert bench.row(one).state is State.WAITING


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"no json", 400), ([1], 400), ({}, 400), ({"result": 1, "error": "x"}, 400)],
)
def test_what_is_no_outcome_is_refused(
    bench: Bench, remote: WebServer, port: int, body: Any, status: int
) -> None:
    one, path = waiting(bench, remote)
    assert post(port, path, body) == status
    assert bench.row(one).state is State.WAITING


def test_a_body_without_measure_is_refused(bench: Bench, remote: WebServer, port: int) -> None:
    _, path = waiting(bench, remote)
    many = str(bench.deps.max_payload_bytes + 1)
    assert post(port, path, b"", **{"Content-Length": many}) == 413


def test_who_has_ended_is_gone(bench: Bench, remote: WebServer, port: int) -> None:
    one, path = waiting(bench, remote)
    cancel(bench.deps, one)
    assert post(port, path, {"result": 1}) == 410
    address = callback.address("http://h", SECRET, callback.key_for(new_id(), 0))
    assert post(port, "/" + address.split("/", 3)[3], {"result": 1}) == 410
