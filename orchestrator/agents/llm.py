"""`llm_agent`: an agent made of a model, a system prompt and tools.

A loop of turns: the model is asked, and what it asks for is done. Each reply, each tool's result
and each child is recorded, so the agent may be left and come back at any point: it runs again
from its first turn, without asking the model anything twice.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import JsonValue

from orchestrator.agents import registry
from orchestrator.agents.context import Context
from orchestrator.agents.model import Model, estimate
from orchestrator.agents.registry import RegisteredAgent, checked, name_of
from orchestrator.agents.tools import InvalidArguments, Tool, built_in, named, tool_of
from orchestrator.domain.errors import (
    AgentCancelled,
    AgentFailed,
    ConfigurationError,
    DeadlockDetected,
    MessageRefused,
    ResultPending,
    SpawnRefused,
    StepFailed,
)
from orchestrator.domain.instance import AgentSpec
from orchestrator.domain.resource import Resource
from orchestrator.domain.retry import RetryPolicy

#: How often a turn is asked for again where the server fails, before the attempt does.
TRIES = 4
#: Seconds, the upper bound of the first pause between them; it doubles.
FIRST_PAUSE = 0.5


class TooManyTurns(Exception):
    """The model has not come to an end within the turns it was given."""


class ModelRefused(Exception):
    """The model gives neither text nor a tool call."""


@dataclass(frozen=True)
class ModelAgent:
    """The function of an agent that is made of a model."""

    model: Model
    system: str
    #: the name of what its calls are counted against
    resource: str
    #: what it may ask for beside the built-in tools
    tools: tuple[Tool, ...] = ()
    #: the agents that it may spawn
    spawns: tuple[str, ...] = ()
    max_turns: int = 20
    #: every tool by name, built-in ones too
    known: Mapping[str, Tool] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        own = [REPORT, *((_spawn_tool(self.spawns), WAIT, SEND) if self.spawns else ())]
        object.__setattr__(self, "known", named([*own, *self.tools]))

    def __call__(self, ctx: Context, prompt: str) -> Any:
        """Answer a prompt."""
        return _Conversation(self, ctx, prompt).hold()


def llm_agent(
    name: str,
    *,
    model: str,
    system: str,
    resource: str | Resource,
    tools: Sequence[Callable[..., Any]] = (),
    spawns: Sequence[str] = (),
    max_turns: int = 20,
    max_tokens: int = 1_024,
    options: Mapping[str, Any] | None = None,
    reply_timeout: float = 120.0,
    retry: RetryPolicy | None = None,
    timeout: float | None = None,
    pool: str = "default",
) -> None:
    """Register a model with a system prompt and tools as the agent `name`; it takes a `prompt`.

    `tools` are plain functions with type hints, whose calls are recorded steps. It can `report` a
    result, and, with `spawns` (names of agents), `spawn` these and `wait` for them. Its result
    is what it reports, or else its last text. Every request goes through `ctx.call(resource)`;
    `max_tokens` bounds a reply and `reply_timeout` its seconds; `options` are more fields of the
    request, as `{"temperature": 0}`. Where the endpoint is and which key it takes, settings say.
    """
    checked("llm_agent", name, pool, timeout)
    if max_turns < 1 or max_tokens < 1 or not reply_timeout > 0:
        raise ConfigurationError(
            f"llm_agent({name!r}): max_turns, max_tokens and reply_timeout must be above 0."
        )
    function = ModelAgent(
        Model(model, max_tokens, reply_timeout, dict(options or {})),
        system,
        name_of(resource),
        tuple(map(tool_of, tools)),
        tuple(spawns),
        max_turns,
    )
    policy = retry or RetryPolicy()
    spec = AgentSpec(
        name=name,
        pool=pool,
        timeout=timeout,
        retry=replace(policy, give_up_on=(*policy.give_up_on, TooManyTurns)),
        resources=(name_of(resource),),
        parameters=("prompt",),
        required=("prompt",),
    )
    registry.REGISTRY.add(RegisteredAgent(spec, function))
    if isinstance(resource, Resource):
        registry.REGISTRY.declare([resource])


# --- the tools it has by itself ---------------------------------------------------------------

REPORT = built_in(
    "report",
    "Report your result. This ends your work.",
    result=(JsonValue, ...),
)
WAIT = built_in(
    "wait",
    "Wait until agents that you have spawned have ended, and get their results.",
    ids=(list[str], ...),
    timeout=(float | None, None),
)
SEND = built_in(
    "send",
    "Send a message to an agent that you have spawned.",
    to=(str, ...),
    body=(JsonValue, ...),
)


def _spawn_tool(spawns: Sequence[str]) -> Tool:
    return built_in(
        "spawn",
        f"Start another agent: one of {', '.join(spawns)}. It runs beside you; get its result "
        "with wait.",
        agent=(str, ...),
        args=(dict[str, JsonValue], {}),
    )


#: Errors that are told to the model instead of failing the attempt.
TOLD = (InvalidArguments, SpawnRefused, MessageRefused, DeadlockDetected, StepFailed)


@dataclass(frozen=True)
class _Reported:
    """The model has said its result."""

    value: Any


class _Conversation:
    """The turns of one run."""

    def __init__(self, agent: ModelAgent, ctx: Context, prompt: str) -> None:
        self._agent, self._ctx = agent, ctx
        self._described = [tool.described() for tool in agent.known.values()]
        self._children: set[str] = set()
        self._messages: list[dict[str, Any]] = [
            {"role": "system", "content": agent.system},
            {"role": "user", "content": prompt},
        ]

    def hold(self) -> Any:
        """Take turns until there is a result."""
        for _ in range(self._agent.max_turns):
            message = self._ask()
            self._messages.append(message)
            calls = message.get("tool_calls", [])
            if not calls:
                if message["content"] is None:
                    raise ModelRefused("The model answered with neither text nor a tool call.")
                return message["content"]
            for call in calls:
                answer = self._do(call["function"])
                if isinstance(answer, _Reported):
                    return answer.value
                self._tell(call["id"], answer)
        raise TooManyTurns(
            f"After {self._agent.max_turns} turns the model had neither reported nor answered "
            "without tools. Give it more with max_turns, or a clearer end."
        )

    def _ask(self) -> dict[str, Any]:
        """The next message of the model. Its server may fail a few times."""
        for tries in range(TRIES):
            with self._ctx.call(
                self._agent.resource,
                input_tokens=estimate([*self._messages, *self._described]),
                output_tokens=self._agent.model.max_tokens,
            ) as call:
                reply = call.run(
                    self._agent.model.ask,
                    call,
                    self._messages,
                    self._described,
                    may_fail=tries + 1 < TRIES,
                )
            if "message" in reply and "failed" not in reply:
                message: dict[str, Any] = reply["message"]
                return message
            self._ctx.log.warning("model.failed", **reply)
            # A limit is waited for by the next call itself.
            if reply["failed"] != "rate_limited":
                self._ctx.sleep(self._ctx.random() * FIRST_PAUSE * 2**tries)
        raise AssertionError("the last try answers or raises")

    def _tell(self, call_id: str, answer: Any) -> None:
        content = answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)
        self._messages.append({"role": "tool", "tool_call_id": call_id, "content": content})

    # --- what it asks for -------------------------------------------------------------------

    def _do(self, asked: Mapping[str, str]) -> Any:
        """Do what a tool call says; a mistake in it is an answer, too."""
        tool = self._agent.known.get(asked["name"])
        if tool is None:
            return _wrong(
                f"There is no tool {asked['name']!r}; there are {list(self._agent.known)}."
            )
        try:
            arguments = tool.read(asked["arguments"])
            match tool.name:
                case "report":
                    return _Reported(arguments["result"])
                case "spawn" if self._agent.spawns:
                    return self._spawn(**arguments)
                case "wait" if self._agent.spawns:
                    return self._wait(**arguments)
                case "send" if self._agent.spawns:
                    return self._send(**arguments)
                case _:
                    return self._ctx.step(f"tool {tool.name}", tool.function, **arguments)
        except TOLD as error:
            return _wrong(str(error))

    def _spawn(self, agent: str, args: dict[str, Any]) -> dict[str, str]:
        if agent not in self._agent.spawns:
            raise InvalidArguments(f"You may spawn {', '.join(self._agent.spawns)}; not {agent!r}.")
        child = self._ctx.spawn(agent, args)
        self._children.add(child.id)
        return {"id": child.id}

    def _send(self, to: str, body: Any) -> dict[str, Any]:
        self._check_known([to])
        self._ctx.send(to, body)
        return {"sent": to}

    def _wait(self, ids: list[str], timeout: float | None) -> Any:
        self._check_known(ids)
        handles = [self._ctx.handle(one) for one in ids]
        try:
            results = self._ctx.wait(handles, timeout=timeout, return_exceptions=True)
        except ResultPending as pending:
            return {"pending": pending.instance_ids}
        return [_told(one, result) for one, result in zip(ids, results, strict=True)]

    def _check_known(self, ids: list[str]) -> None:
        unknown = [one for one in ids if one not in self._children]
        if unknown or not ids:
            raise InvalidArguments(f"These are not ids of agents that you have spawned: {unknown}.")


def _told(instance_id: str, result: Any) -> dict[str, Any]:
    if isinstance(result, AgentFailed | AgentCancelled):
        return {"id": instance_id, "error": str(result)}
    return {"id": instance_id, "result": result}


def _wrong(what: str) -> dict[str, str]:
    return {"error": what}
