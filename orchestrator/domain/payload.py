"""Arguments and results are JSON values, checked before anything is recorded."""

from __future__ import annotations

import json
import math
from typing import Any

#: What JSON can hold. `Any` inside the containers keeps callers' own types usable.
JSON = dict[str, Any] | list[Any] | str | int | float | bool | None


#: What is left of a payload whose key was destroyed, or that was overwritten.
ERASED = {"$erased": True}

#: Bits; Python itself reads no integer of more than 4,300 digits from text.
LONGEST_INTEGER = 13_288


class NotJSON(ValueError):
    """A value that JSON or the store cannot hold; the message names the key."""


class TooLarge(ValueError):
    """A value whose JSON text is longer than allowed."""


def encode(value: object, *, name: str, max_bytes: int) -> str:
    """The JSON text of `value`, at most `max_bytes` bytes of UTF-8.

    `name` is what the value is called in messages, as in `args.urls[2]`. Raises `NotJSON`
    for what is no JSON value (also NaN, infinities, lone surrogates and NUL characters, which
    PostgreSQL refuses) and `TooLarge`.
    """
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
        size = len(text.encode())
    except (TypeError, ValueError, RecursionError) as error:
        raise NotJSON(_first_fault(value, name) or f"{name} is not a JSON value: {error}") from None
    # The fast path is done: only text that can hide a fault is searched for it.
    if "\\u0000" in text or not _plain(value):
        fault = _first_fault(value, name)
        if fault:
            raise NotJSON(fault)
    if size > max_bytes:
        raise TooLarge(
            f"{name} is {size:,} bytes of JSON; at most {max_bytes:,} are allowed. Store large "
            "data elsewhere and pass a reference, or raise ORCHESTRATOR_MAX_PAYLOAD_BYTES."
        )
    return text


def _plain(value: object) -> bool:
    """Whether the value has only types that JSON gives back unchanged."""
    if value is None or isinstance(value, str | bool | int | float):
        return True
    if isinstance(value, list):
        return all(map(_plain, value))
    if isinstance(value, dict):
        return all(isinstance(key, str) and _plain(item) for key, item in value.items())
    return False


def _first_fault(value: object, name: str, depth: int = 0) -> str | None:
    """Where the value is not JSON, in words; None when it is."""
    if depth > 200:
        return f"{name} is nested more than 200 levels deep or contains itself"
    if value is None or isinstance(value, bool | int):
        return _number_fault(value or 0, name)
    if isinstance(value, float):
        return None if math.isfinite(value) else f"{name} is {value}, which JSON cannot hold"
    if isinstance(value, str):
        return _text_fault(value, name)
    if isinstance(value, dict):
        return _dict_fault(value, name, depth)
    if isinstance(value, list | tuple):
        items = enumerate(value)
        return next(
            (f for i, item in items if (f := _first_fault(item, f"{name}[{i}]", depth + 1))), None
        )
    return f"{name} is of type {type(value).__name__}, which is not a JSON value"


def _number_fault(value: int, name: str) -> str | None:
    long = value.bit_length() > LONGEST_INTEGER
    return f"{name} is an integer of more than 4,000 digits" if long else None


def _dict_fault(value: dict[Any, Any], name: str, depth: int) -> str | None:
    for key, item in value.items():
        if not isinstance(key, str):
            return f"{name} has the key {key!r}; JSON keys are strings"
        fault = _text_fault(key, f"the key {key!r} of {name}") or _first_fault(
            item, f"{name}.{key}", depth + 1
        )
        if fault:
            return fault
    return None


def _text_fault(text: str, name: str) -> str | None:
    if "\x00" in text:
        return f"{name} contains a NUL character, which the store cannot hold"
    try:
        text.encode()
    except UnicodeEncodeError:
        return f"{name} contains a lone surrogate, which is not valid Unicode"
    return None
