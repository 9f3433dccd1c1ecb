"""Tools of a model: what it may ask for, described to it as JSON schemas."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from orchestrator.domain.errors import ConfigurationError
from orchestrator.domain.names import is_identifier


class InvalidArguments(Exception):
    """What a model calls a tool with does not fit; the message is for the model."""


@dataclass(frozen=True)
class Tool:
    """One tool."""

    name: str
    description: str
    #: what it takes; says what is wrong with arguments, too
    arguments: type[BaseModel]
    #: does it; not called for built-in tools
    function: Callable[..., Any]

    def described(self) -> dict[str, Any]:
        """The tool as the chat API takes it."""
        schema = self.arguments.model_json_schema()
        schema.pop("title", None)
        return {
            "type": "function",
            "function": {
                "name": self.name,
                "description": self.description,
                "parameters": schema,
            },
        }

    def read(self, text: str) -> dict[str, Any]:
        """The arguments that a model has written. Raises `InvalidArguments`."""
        try:
            given = json.loads(text or "{}")
        except (ValueError, RecursionError) as error:
            raise InvalidArguments(f"The arguments are not JSON: {error}.") from None
        try:
            read = self.arguments.model_validate(given)
        except ValidationError as error:
            faults = "; ".join(
                f"{'.'.join(map(str, fault['loc'])) or 'arguments'}: {fault['msg']}"
                for fault in error.errors(include_url=False)
            )
            raise InvalidArguments(f"The arguments do not fit: {faults}.") from None
        return {name: getattr(read, name) for name in type(read).model_fields}


def tool_of(function: Callable[..., Any]) -> Tool:
    """A plain function as a tool: its type hints are the schema, its docstring the description."""
    name = getattr(function, "__name__", "")
    if not is_identifier(name) or inspect.iscoroutinefunction(function):
        raise ConfigurationError(
            f"{function!r} cannot be a tool: give a plain function (def) with type hints."
        )
    hints = get_type_hints(function, include_extras=True)
    fields: dict[str, Any] = {}
    for one in inspect.signature(function).parameters.values():
        if one.kind not in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY) or one.name not in hints:
            raise ConfigurationError(
                f"The tool {name!r} cannot be described to a model: its parameter {one.name!r} "
                "needs a type hint and may not be * or **."
            )
        fields[one.name] = (hints[one.name], ... if one.default is one.empty else one.default)
    return Tool(name, inspect.getdoc(function) or name, _model(name, fields), function)


def built_in(name: str, description: str, **fields: Any) -> Tool:
    """A tool that the agent itself carries out."""
    return Tool(name, description, _model(name, fields), _nothing)


def named(tools: Iterable[Tool]) -> Mapping[str, Tool]:
    """Tools by name; two of one name are refused."""
    found: dict[str, Tool] = {}
    for tool in tools:
        if tool.name in found:
            raise ConfigurationError(f"Two tools have the name {tool.name!r}.")
        found[tool.name] = tool
    return found


def _model(name: str, fields: dict[str, Any]) -> type[BaseModel]:
    strict = ConfigDict(extra="forbid", protected_namespaces=())
    return create_model(name, __config__=strict, **fields)


def _nothing(**_: Any) -> None:
    """What a built-in tool does by itself."""
