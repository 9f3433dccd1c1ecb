"""Loads the Lua scripts: one file a verb, its header being its contract.

The header names what a script takes and gives:

    -- ARGV    id attempt pairs...
    -- REPLY   more next_due_ms
    -- USES    park pump

`ARGV` becomes local variables of those names (the last may gather the rest as a table),
`USES` puts the pieces of `lib/` and all they use before the script, each once. The script's
Python side (`call`) checks names and count against the same header.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.resources import files
from importlib.resources.abc import Traversable

from orchestrator.admission.keys import literal, literal_table, lua_table

#: A key by its name, and by one that is known only when the script runs.
_KEY, _LOOKED_UP = re.compile(r"\bkey\.([a-z_]+)"), "key["
_FIELD = re.compile(r"^-- (ARGV|REPLY|USES) +(.*)$", re.MULTILINE)
_LUA = files("orchestrator.admission").joinpath("lua")


@dataclass(frozen=True)
class Script:
    """One verb: its full source and the names of its arguments."""

    name: str
    source: str
    arguments: tuple[str, ...]

    @cached_property
    def sha(self) -> str:
        """What the server calls the script."""
        return hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()

    def on(self, gate: str) -> Script:
        """The script for the gate of this name: with its keys spelled out.

        To put thirty names together takes a script longer than most of what it does then.
        """
        generic = lua_table()
        assert generic in self.source
        source = self.source.replace(
            generic, literal_table(gate) if _LOOKED_UP in self.source else ""
        )
        return replace(self, source=_KEY.sub(lambda found: literal(gate, found[1]), source))

    def bind(self, values: Mapping[str, object]) -> list[object]:
        """The values in the order of the header; a missing or unknown name is a KeyError."""
        names = self.arguments
        rest: list[object] = []
        if names and names[-1].endswith("..."):
            rest = list(values[names[-1].removesuffix("...")])  # type: ignore[call-overload]  # a list by contract
            names = names[:-1]
        if len(values) != len(self.arguments):
            raise KeyError(f"{self.name} takes {self.arguments}, was given {tuple(values)}")
        return [values[name] for name in names] + rest


class Library:
    """All scripts, put together for one form of broker message.

    `message` is the Lua source of the function `message(id, attempt, agent, queue, level)`.
    `clock` replaces `lib/now.lua`, for tests that set the time.
    """

    def __init__(self, message: str, clock: str | None = None) -> None:
        self._pieces = {"message": message} | ({"now": clock} if clock else {})
        self._scripts = {page.name[:-4]: page for page in _LUA.iterdir() if page.is_file()}

    def __iter__(self) -> Iterator[Script]:
        return map(self.load, sorted(self._scripts))

    def load(self, name: str) -> Script:
        """The script of this verb."""
        text = self._scripts[name].read_text()
        header = _header(text)
        arguments = tuple(header.get("ARGV", "").split())
        parts = [lua_table(), *self._used(header, set()), _locals(arguments), text]
        return Script(name, "\n".join(parts), arguments)

    def _used(self, header: dict[str, str], seen: set[str]) -> list[str]:
        """The pieces a header names and all they use, each after what it uses."""
        found: list[str] = []
        for name in header.get("USES", "").split():
            if name not in seen:
                seen.add(name)
                text = self._piece(name)
                found += [*self._used(_header(text), seen), text]
        return found

    def _piece(self, name: str) -> str:
        return self._pieces.get(name) or _read(_LUA.joinpath("lib", f"{name}.lua"))


def _read(page: Traversable) -> str:
    return page.read_text()


def _header(text: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    for field, value in _FIELD.findall(text):
        fields[field] = f"{fields.get(field, '')} {value}".strip()
    return fields


def _locals(arguments: tuple[str, ...]) -> str:
    lines = []
    for position, name in enumerate(arguments, start=1):
        if name.endswith("..."):
            rest = name.removesuffix("...")
            lines.append(f"local {rest} = {{}}")
            lines.append(f"for i = {position}, #ARGV do {rest}[#{rest} + 1] = ARGV[i] end")
        else:
            lines.append(f"local {name} = ARGV[{position}]")
    return "\n".join(lines)
