"""Danger: an agent made of a model pays twice, never ends, or does what it must not.

The model is a server that speaks the real protocol (`/v1/chat/completions`), through the real
client.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from orchestrator import Context
from orchestrator.agents import registry as registering
from orchestrator.agents.llm import llm_agent
from orchestrator.agents.registry import Registry
from orchestrator.domain.errors import ConfigurationError
from orchestrator.domain.instance import Instance
from orchestrator.domain.lifecycle import State
from orchestrator.domain.resource import Resource
from orchestrator.domain.retry import RetryPolicy
from orchestrator.engine import resources
from tests.engine.bench import Bench
from tests.support.web_server import Asked, Say, WebServer

KEY = "sk-very-secret"
WIDE = Resource("llm", requests_per_minute=60_000, input_tokens_per_minute=10_000_000)


def text(content: str) -> Say:
    """A reply in words."""
    return reply({"role": "assistant", "content": content})


def calls(*asked: tuple[str, Any]) -> Say:
    """A reply that calls tools; arguments that are no text are JSON."""
    called = [
        {
            "id": f"call_{number}",
            "type": "function",
            "function": {
                "name": name,
                "arguments": given if isinstance(given, str) else json.dumps(given),
            },
        }
        for number, (name, given) in enumerate(asked)
    ]
    return reply({"role": "assistant", "content": None, "tool_calls": called})


def reply(message: dict[str, Any], **headers: str) -> Say:
    """A chat completion."""
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18},
    }
    return Say(200, body, {"Content-Type": "application/json", **headers})


def failure(status: int, **headers: str) -> Say:
    """An error as endpoints word it."""
    body = {"error": {"message": "no", "type": "error", "code": None, "param": None}}
    return Say(status, body, {"Content-Type": "application/json", **headers})


class Script:
    """Says one thing after the other; what is left over in the end was never asked for."""

    def __init__(self, *says: Say | Callable[[Asked], Say]) -> None:
        self.says = list(says)

    def __call__(self, asked: Asked) -> Say:
        say = self.says.pop(0)
        return say(asked) if callable(say) else say


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Iterator[WebServer]:
    """The endpoint."""
    server = WebServer(Script())
    with server.running():
        monkeypatch.setenv("ORCHESTRATOR_LLM_BASE_URL", f"{server.url}/v1")
        monkeypatch.setenv("ORCHESTRATOR_LLM_API_KEY", KEY)
        yield server


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch, registry: Registry) -> None:
    """Agents are registered for this test only."""
    monkeypatch.setattr(registering, "REGISTRY", registry)


@pytest.fixture(autouse=True)
def wide(bench: Bench, known: None) -> None:
    """A resource that is no limit by itself."""
    resources.declare(bench.deps, [WIDE])


def ask(bench: Bench, model: WebServer, *says: Any, **options: Any) -> Instance:
    """Run an agent to its end against what its model will say."""
    script = Script(*says)
    model.answer = script
    options.setdefault("retry", RetryPolicy.never())
    llm_agent("agent", model="m", resource="llm", system="Be brief.", **options)
    one = bench.spawn("agent", {"prompt": "Hello"})
    bench.work_until(lambda: bench.row(one).state.is_terminal, "it has ended")
    assert not script.says
    return bench.row(one)


def told(model: WebServer, turn: int = -1) -> Any:
    """What the model was told last in a turn, a tool's answer as its value."""
    return json.loads(model.asked[turn].body["messages"][-1]["content"])


def test_words_are_the_result(bench: Bench, model: WebServer) -> None:
    row = ask(bench, model, text("Good day."), options={"temperature": 0})
    assert row.result == "Good day."
    [asked] = model.asked
    assert asked.path == "/v1/chat/completions"
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert asked.body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello"},
    ]
    assert (asked.body["model"], asked.body["temperature"]) == ("m", 0)
    assert [one["function"]["name"] for one in asked.body["tools"]] == ["report"]


def test_what_it_reports_is_the_result(bench: Bench, model: WebServer) -> None:
    assert ask(bench, model, calls(("report", {"result": {"a": [1]}}))).result == {"a": [1]}


def test_tools_of_its_own_run_once(bench: Bench, model: WebServer) -> None:
    ran: list[int] = []

    def double(number: int, times: int = 1) -> int:
        """Doubles a number."""
        ran.append(number)
        return number * 2 * times

    row = ask(
        bench,
        model,
        calls(("double", {"number": 21}), ("spawn", {"agent": "add", "args": {"a": 1}})),
        lambda asked: calls(("wait", {"ids": [told_id(asked)]})),
        lambda asked: text(asked.body["messages"][-1]["content"]),
        tools=[double],
        spawns=["add"],
    )
    [child] = json.loads(row.result)
    assert child["result"] == 2
    assert ran == [21], "a recorded step"
    assert len(model.asked) == 3, "nobody is asked twice, also if it was left in between"
    [tool] = [t for t in model.asked[0].body["tools"] if t["function"]["name"] == "double"]
    assert tool["function"]["description"] == "Doubles a number."
    assert tool["function"]["parameters"]["required"] == ["number"]
    assert tool["function"]["parameters"]["properties"]["number"]["type"] == "integer"
    answers = [one["content"] for one in model.asked[1].body["messages"] if one["role"] == "tool"]
    assert answers[0] == "42"


def told_id(asked: Asked) -> str:
    """The id of the child that it was told last."""
    return str(json.loads(asked.body["messages"][-1]["content"])["id"])


def test_a_message_to_a_child(bench: Bench, model: WebServer) -> None:
    def listen(ctx: Context) -> Any:
        return ctx.receive().body

    bench.agent("hear", listen)
    row = ask(
        bench,
        model,
        calls(("spawn", {"agent": "hear"})),
        lambda asked: calls(
            ("send", {"to": told_id(asked), "body": "hello"}), ("wait", {"ids": [told_id(asked)]})
        ),
        lambda asked: text(asked.body["messages"][-1]["content"]),
        spawns=["hear"],
    )
    assert json.loads(row.result)[0]["result"] == "hello"


@pytest.mark.parametrize(
    ("call", "hint"),
    [
        (("sing", {}), "There is no tool 'sing'"),
        (("report", "{"), "not JSON"),
        (("report", {}), "result: Field required"),
        (("double", {"number": "many"}), "number: Input should be a valid integer"),
        (("double", {"number": 1, "colour": 2}), "colour: Extra inputs"),
        (("double", {"number": 13}), "unlucky"),
        (("spawn", {"agent": "kill-worker"}), "You may spawn add; not 'kill-worker'"),
        (("spawn", {"agent": "add", "args": {"z": 1}}), "add"),
        (("wait", {"ids": ["01a1fef9-4290-7c46-a463-60453a6ea7df"]}), "not ids of agents"),
        (("wait", {"ids": []}), "not ids of agents"),
        (("send", {"to": "somebody", "body": 1}), "not ids of agents"),
    ],
)
def test_mistakes_are_told_to_it(
    bench: Bench, model: WebServer, call: tuple[str, Any], hint: str
) -> None:
    def double(number: int) -> int:
        if number == 13:
            raise ValueError("unlucky")
        return number * 2

    row = ask(bench, model, calls(call), text("Sorry."), tools=[double], spawns=["add"])
    assert row.result == "Sorry."
    assert hint in told(model)["error"]


def test_it_never_ends(bench: Bench, model: WebServer) -> None:
    row = ask(bench, model, *[calls(("sing", {}))] * 3, max_turns=3, retry=RetryPolicy())
    assert row.state is State.FAILED
    assert (row.error or {})["type"] == "TooManyTurns"


def test_a_request_that_was_refused_used_nothing(bench: Bench, model: WebServer) -> None:
    row = ask(bench, model, failure(400), retry=RetryPolicy.never())
    assert ledger(bench, row.id) == [("caller", 1.0, 0.0, 0.0)]


def test_what_was_used_is_what_is_paid(bench: Bench, model: WebServer) -> None:
    row = ask(bench, model, text("Good day."))
    assert ledger(bench, row.id) == [("success", 1.0, 11.0, 7.0)]


def ledger(bench: Bench, instance_id: str) -> list[Any]:
    """How its calls ended: outcome, requests, input and output tokens."""
    wanted = "outcome, requests, input_tokens, output_tokens"
    with bench.deps.store.database.connection() as connection:
        found = connection.execute(
            f"SELECT {wanted} FROM calls WHERE instance_id = %s ORDER BY ended_at".encode(),
            [instance_id],
        ).fetchall()
    return [tuple(row.values()) for row in found]


def test_a_server_that_fails_is_asked_again(
    bench: Bench, model: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.agents.llm.FIRST_PAUSE", 0.01)
    row = ask(bench, model, failure(500), failure(503), text("Good day."))
    assert (row.result, row.failures, len(model.asked)) == ("Good day.", 0, 3)


def test_a_limit_is_waited_for(bench: Bench, model: WebServer) -> None:
    row = ask(bench, model, failure(429, **{"retry-after-ms": "300"}), text("Good day."))
    assert (row.result, row.failures) == ("Good day.", 0)


def test_a_server_that_fails_for_good(
    bench: Bench, model: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last try fails the attempt, and only that one is made again."""
    monkeypatch.setattr("orchestrator.agents.llm.FIRST_PAUSE", 0.01)
    retry = RetryPolicy(max_attempts=2, first_delay=0, max_delay=0)
    row = ask(bench, model, *[failure(500)] * 5, retry=retry)
    assert (row.error or {})["type"] == "InternalServerError"
    assert len(model.asked) == 5


@pytest.mark.parametrize("status", [400, 401, 404])
def test_a_request_that_is_wrong(bench: Bench, model: WebServer, status: int) -> None:
    row = ask(bench, model, failure(status))
    assert row.state is State.FAILED
    assert KEY not in json.dumps(row.error)


@pytest.mark.parametrize("body", [{}, {"choices": []}, [], {"choices": [{"message": None}]}])
def test_a_reply_that_is_none(bench: Bench, model: WebServer, body: Any) -> None:
    row = ask(bench, model, Say(200, body, {"Content-Type": "application/json"}))
    assert (row.error or {})["type"] == "InvalidReply"


def test_tools_that_cannot_be_described() -> None:
    def untyped(a): ...  # type: ignore[no-untyped-def]  # that is the point

    def starred(*a: int) -> None: ...

    async def awaited(a: int) -> None: ...

    def report(a: int) -> None: ...

    for tool in (untyped, starred, awaited, report):
        with pytest.raises(ConfigurationError, match=tool.__name__):
            llm_agent("agent", model="m", system="", resource="llm", tools=[tool])


def test_the_client_is_not_installed(
    bench: Bench, model: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    row = ask(bench, model)
    assert (row.error or {})["type"] == "ConfigurationError"
