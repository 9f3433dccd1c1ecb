"""Which fields of payloads are not shown.

A rule is a path with `*` for anything, as `*.password` or `args.card.number`; it stands for a field
of this path anywhere, in small or capital letters. Items of lists have the path of the list.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

#: What is shown instead.
HIDDEN = "***"
#: Fields that are never shown, whatever else is set.
ALWAYS = (
    "*password",
    "*passwd",
    "*passphrase",
    "*secret",
    "*api_key",
    "*apikey",
    "*api-key",
    "*access_token",
    "*refresh_token",
    "*private_key",
    "authorization",
    "cookie",
    "set-cookie",
)


def redact(value: Any, rules: Sequence[str] = (), path: str = "") -> Any:
    """The same value, with what the rules name hidden."""
    wanted = [rule.lower() for rule in (*ALWAYS, *rules)]
    return _redact(value, wanted, path)


def _redact(value: Any, rules: Sequence[str], path: str) -> Any:
    if isinstance(value, dict):
        return {name: _field(one, rules, f"{path}.{name}") for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_redact(one, rules, path) for one in value]
    return value


def _field(value: Any, rules: Sequence[str], path: str) -> Any:
    found = path.lower()
    if value is not None and any(fnmatchcase(found, f"*.{rule}") for rule in rules):
        return HIDDEN
    return _redact(value, rules, path)
