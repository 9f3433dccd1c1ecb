"""Danger: a remote agent is asked twice, waited for in vain, or is not where it says it is."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from orchestrator.agents import registry as registering
from orchestrator.agents.http import http_agent
from orchestrator.agents.registry import Registry
from orchestrator.agents.web import AllowList, NoAnswer, NotAllowed, TooLong, request
from orchestrator.domain.errors import ConfigurationError
from orchestrator.domain.instance import Instance
from orchestrator.domain.lifecycle import State
from orchestrator.domain.retry import RetryPolicy
from orchestrator.engine.cancel import cancel
from tests.engine.bench import Bench
from tests.support.web_server import Say, WebServer


@pytest.fixture
def remote(monkeypatch: pytest.MonkeyPatch, registry: Registry) -> Iterator[WebServer]:
    """The other side, where agents may go; agents are registered for this test only."""
    monkeypatch.setattr(registering, "REGISTRY", registry)
    server = WebServer(lambda _: Say(500))
    with server.running():
        monkeypatch.setenv("ORCHESTRATOR_HTTP_AGENTS_ALLOW", f"127.0.0.1:{server.port}")
        yield server


def ended(bench: Bench, remote: WebServer, *says: Say, **options: Any) -> Instance:
    """Run an agent to its end against what the other side will say."""
    left = list(says)
    remote.answer = lambda _: left.pop(0)
    retry = RetryPolicy(max_attempts=2, first_delay=0, max_delay=0)
    http_agent("agent", url=f"{remote.url}/jobs", retry=retry, **options)
    one = bench.spawn("agent", {"page": "größer"})
    bench.work_until(lambda: bench.row(one).state.is_terminal, "it has ended")
    assert not left
    return bench.row(one)


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks come so soon that they are waited for on the spot."""
    monkeypatch.setattr("orchestrator.agents.http.FIRST_LOOK", 0.01)


def test_an_answer_at_once(bench: Bench, remote: WebServer) -> None:
    row = ended(bench, remote, Say(200, {"pages": 3}), headers={"Authorization": "Bearer x"})
    assert row.result == {"pages": 3}
    [asked] = remote.asked
    assert (asked.method, asked.path) == ("POST", "/jobs")
    assert asked.headers["idempotency-key"] == f"{row.id}-0"
    assert asked.headers["authorization"] == "Bearer x"
    assert asked.headers["deadline"] == asked.body["deadline"]
    assert (asked.body["id"], asked.body["args"]) == (row.id, {"page": "größer"})


def test_an_answer_later(bench: Bench, remote: WebServer) -> None:
    accepted = Say(202, None, {"Location": "/jobs/7"})
    row = ended(bench, remote, accepted, Say(202), Say(202), Say(200, [1]))
    assert row.result == [1]
    assert [one.path for one in remote.asked] == ["/jobs", *["/jobs/7"] * 3]
    assert {one.headers["idempotency-key"] for one in remote.asked} == {f"{row.id}-0"}


def test_a_failed_try_is_followed_by_another(bench: Bench, remote: WebServer) -> None:
    row = ended(bench, remote, Say(500), Say(200, 1))
    assert (row.result, row.failures) == (1, 1)
    keys = [one.headers["idempotency-key"] for one in remote.asked]
    assert keys == [f"{row.id}-0", f"{row.id}-1"]


def test_one_that_says_later_is_asked_then(bench: Bench, remote: WebServer) -> None:
    row = ended(bench, remote, Say(429, None, {"Retry-After": "0.01"}), Say(200, 1))
    assert (row.result, row.failures) == (1, 0)


def test_a_look_that_fails_starts_nothing_anew(bench: Bench, remote: WebServer) -> None:
    accepted = Say(202, None, {"Location": "/jobs/7"})
    row = ended(bench, remote, accepted, Say(503), Say(200, 1))
    assert (row.result, row.failures) == (1, 1)
    assert [one.method for one in remote.asked] == ["POST", "GET", "GET"]


@pytest.mark.parametrize(
    "say",
    [
        Say(400),
        Say(404),
        Say(302, None, {"Location": "http://169.254.169.254/"}),
        Say(200, b"<html>"),
        Say(200, "x" * 300_000),
    ],
)
def test_what_no_retry_helps(bench: Bench, remote: WebServer, say: Say) -> None:
    row = ended(bench, remote, say)
    assert (row.state, row.failures) == (State.FAILED, 1)
    assert len(remote.asked) == 1


def test_it_takes_too_long(bench: Bench, remote: WebServer) -> None:
    accepted = Say(202, None, {"Location": "/jobs/7"})
    row = ended(bench, remote, accepted, Say(202), deadline=0.001)
    assert (row.error or {})["type"] == "RemoteTimeout"


def test_a_location_elsewhere(bench: Bench, remote: WebServer) -> None:
    """What the other side says is no more trusted than anybody."""
    row = ended(bench, remote, Say(202, None, {"Location": "http://127.0.0.1:1/"}))
    assert row.state is State.FAILED
    assert "http_agents_allow" in str(row.error)


# --- one request ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entries", "host", "address", "port", "allowed"),
    [
        (["a.example"], "a.example", "93.184.216.34", 443, True),
        (["a.example"], "b.a.example", "93.184.216.34", 443, False),
        (["*.example"], "b.a.example", "93.184.216.34", 443, True),
        (["*.example"], "example", "93.184.216.34", 443, False),
        (["*.example"], "badexample", "93.184.216.34", 443, False),
        (["a.example:443"], "a.example", "93.184.216.34", 80, False),
        (["a.example"], "a.example", "10.0.0.1", 443, False),
        (["a.example"], "a.example", "127.0.0.1", 443, False),
        (["a.example"], "a.example", "169.254.169.254", 80, False),
        (["a.example"], "a.example", "::1", 443, False),
        (["a.example"], "a.example", "::ffff:10.0.0.1", 443, False),
        (["a.example"], "a.example", "64:ff9b::a00:1", 443, False),
        (["a.example"], "a.example", "2002:a00:1::", 443, False),
        (["a.example", "10.0.0.0/8"], "a.example", "10.0.0.1", 443, True),
        (["10.0.0.0/8"], "10.0.0.1", "::ffff:10.0.0.1", 443, True),
        (["127.0.0.1:8080"], "127.0.0.1", "127.0.0.1", 8080, True),
        (["127.0.0.1:8080"], "127.0.0.1", "127.0.0.1", 8081, False),
        (["[::1]:8080"], "::1", "::1", 8080, True),
        (["::1"], "::1", "::1", 8081, True),
        ([], "a.example", "93.184.216.34", 443, False),
    ],
)
def test_where_requests_may_go(
    entries: list[str], host: str, address: str, port: int, allowed: bool
) -> None:
    assert AllowList(entries).check(host, ipaddress.ip_address(address), port) is allowed


@pytest.mark.parametrize("entry", ["", "http://a.example", "a b", "*", "a.example:x", "10.0.0.1/8"])
def test_entries_that_mean_nothing(entry: str) -> None:
    with pytest.raises(ConfigurationError, match="http_agents_allow"):
        AllowList([entry])


def fetch(server: WebServer, url: str = "", *, timeout: float = 5.0) -> Any:
    """One GET."""
    allow = AllowList([f"127.0.0.1:{server.port}"])
    where = url or server.url
    return request(allow, "GET", where, headers={}, timeout=timeout, max_bytes=100)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://127.0.0.1/",
        "file:///etc/passwd",
        "http://user:pass@127.0.0.1/",
        "http:///",
        "http://127.0.0.1:99999/",
        "http://127.0.0.1/a b",
        "http://127.0.0.1/\r\nHost: x",
        "http://127.0.0.1:1/",
        "http://0x7f.1:1/",
        "http://[::ffff:127.0.0.1]:1/",
    ],
)
def test_urls_that_lead_nowhere(remote: WebServer, url: str) -> None:
    with pytest.raises(NotAllowed):
        fetch(remote, url)


def test_the_address_that_was_checked_is_the_one(
    remote: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that leads elsewhere when it is looked up again gains nothing by it."""
    known = socket.getaddrinfo
    looks: list[str] = []

    def lie(host: str, port: Any, *args: Any, **kwargs: Any) -> Any:
        if host == "two-faced.example":
            looks.append(host)
            host = "127.0.0.1" if len(looks) == 1 else "127.0.0.2"
        return known(host, port, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", lie)
    remote.answer = lambda asked: Say(200, asked.headers["host"])
    answer = fetch(remote, f"http://two-faced.example:{remote.port}/")
    assert answer.body.decode() == f'"two-faced.example:{remote.port}"'
    assert len(looks) == 1


def test_an_answer_is_bounded(remote: WebServer) -> None:
    remote.answer = lambda _: Say(200, b"x" * 101)
    with pytest.raises(TooLong):
        fetch(remote)


def test_an_answer_that_breaks_off(remote: WebServer) -> None:
    remote.answer = lambda _: Say(200, b"x", {"Content-Length": "50"})
    with pytest.raises(NoAnswer):
        fetch(remote, timeout=0.5)


def test_an_answer_that_trickles(remote: WebServer) -> None:
    """The patience is for all of it, not for each byte."""
    with socket.create_server(("127.0.0.1", 0)) as slow:
        port = slow.getsockname()[1]
        slow.listen()
        with pytest.raises(NoAnswer):
            request(
                AllowList([f"127.0.0.1:{port}"]),
                "GET",
                f"http://127.0.0.1:{port}/",
                headers={},
                timeout=0.2,
                max_bytes=100,
            )


def test_nobody_is_there(remote: WebServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with pytest.raises(NoAnswer):
        request(
            AllowList(["127.0.0.1"]),
            "GET",
            f"http://127.0.0.1:{port}/",
            headers={},
            timeout=1,
            max_bytes=1,
        )


def test_it_is_told_of_a_cancellation(bench: Bench, remote: WebServer) -> None:
    """Also where nothing of the instance runs here when it is cancelled."""
    remote.answer = lambda asked: {
        "POST": Say(202, None, {"Location": "/jobs/7", "Retry-After": "600"}),
        "DELETE": Say(204, b""),
    }[asked.method]
    http_agent("agent", url=f"{remote.url}/jobs", cancel=True)
    bench.deps.store.save_agents(registering.REGISTRY.specs().values())
    one = bench.spawn("agent")
    assert bench.execute(one).state is State.WAITING
    cancel(bench.deps, one)
    bench.work_until(lambda: len(remote.asked) == 2, "it was told")
    last = remote.asked[-1]
    assert (last.method, last.path) == ("DELETE", "/jobs/7")
    assert last.headers["idempotency-key"] == f"{one}-0"


def test_options_that_make_no_agent() -> None:
    for options in ({"url": "x"}, {"url": "http://a", "deadline": 0}):
        with pytest.raises(ConfigurationError, match="http_agent"):
            http_agent("agent", **options)
