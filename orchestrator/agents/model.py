"""One request to a model, over any endpoint that speaks OpenAI's chat protocol."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING, Any

from orchestrator.agents.call import Call
from orchestrator.config.settings import Settings
from orchestrator.domain.call import Outcome
from orchestrator.domain.errors import ConfigurationError
from orchestrator.domain.provider import classify, hint_of

if TYPE_CHECKING:
    from openai import OpenAI

Messages = Sequence[Mapping[str, Any]]

#: Bytes of JSON that make about a token.
BYTES_PER_TOKEN = 4


class InvalidReply(Exception):
    """The endpoint answered something that is no chat completion."""


@dataclass(frozen=True)
class Model:
    """A model and how it is asked."""

    name: str
    #: tokens that a reply may have
    max_tokens: int
    #: seconds that a reply may take
    timeout: float
    #: more fields of the request, as `temperature`
    options: Mapping[str, Any] = field(default_factory=dict)

    def ask(
        self, call: Call, messages: Messages, tools: Messages, *, may_fail: bool
    ) -> dict[str, Any]:
        """Ask, and settle the call with what was used.

        Answers `{"message": ...}`, or, where it is the server that fails and `may_fail`, why:
        `{"failed": ..., "message": ...}`. Raises what went wrong otherwise.
        """
        openai = _openai()
        request: dict[str, Any] = {"model": self.name, "messages": messages, **self.options}
        if tools:
            request["tools"] = tools
        with _client(self.timeout) as client:
            try:
                raw = client.chat.completions.with_raw_response.create(
                    max_tokens=self.max_tokens, **request
                )
                call.observe(dict(raw.headers))
                return _read(call, json.loads(raw.text))
            except (openai.APIError, InvalidReply, ValueError) as error:
                if isinstance(error, openai.APIStatusError):  # turned away: nothing was read
                    call.settle(input_tokens=0, output_tokens=0)
                outcome = classify(error)
                if outcome is Outcome.CALLER or not may_fail:
                    raise
                call.failed(outcome, hint_of(error).retry_after)
                return {"failed": str(outcome), "message": str(error)[:500]}


def estimate(messages: Messages) -> int:
    """About how many tokens these are."""
    return len(json.dumps(list(messages), ensure_ascii=False).encode()) // BYTES_PER_TOKEN + 1


def _openai() -> ModuleType:
    # It takes more than a second to import, which only agents of this kind shall pay.
    try:
        return importlib.import_module("openai")
    except ImportError:
        raise ConfigurationError(
            'llm_agent needs the openai package: pip install "agent-orchestrator[llm]".'
        ) from None


def _client(timeout: float) -> OpenAI:
    settings = Settings.load()
    key = settings.llm_api_key
    # Retries are ours: each one has to wait for its turn at the shared limits.
    client: OpenAI = _openai().OpenAI(
        base_url=settings.llm_base_url,
        api_key="none" if key is None else key.get_secret_value(),
        timeout=timeout,
        max_retries=0,
    )
    return client


def _read(call: Call, reply: Any) -> dict[str, Any]:
    try:
        message = reply["choices"][0]["message"]
        usage = reply.get("usage") or {}
        kept = {"role": "assistant", "content": message.get("content")}
        if message.get("tool_calls"):
            kept["tool_calls"] = [_tool_call(one) for one in message["tool_calls"]]
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise InvalidReply(f"The endpoint's answer is no chat completion: {error!r}.") from None
    call.settle(
        input_tokens=usage.get("prompt_tokens"), output_tokens=usage.get("completion_tokens")
    )
    return {"message": kept, "usage": usage}


def _tool_call(one: Mapping[str, Any]) -> dict[str, Any]:
    function = one["function"]
    return {
        "id": str(one["id"]),
        "type": "function",
        "function": {"name": str(function["name"]), "arguments": str(function["arguments"])},
    }
