"""Loads the Lua scripts: one file a verb, its header being its contract.

The header names what a script takes and gives:

    -- ARGV    id attempt pairs...
    -- REPLY   more next_due_ms
    -- USES    park pump

`ARGV` becomes local variables of those names (the last may gather the rest as a table),
`USES` names the pieces of `lib/`, which come with all they use, each once. The script's
Python side (`call`) checks names and count against the same header.

Each function of a piece stands just before the first statement of the script that needs it, and
nowhere if none does. Functions are made anew by every call, at a third of a microsecond each; all
those of its pieces would take a script longer than what it mostly does. So a script puts its common
way out first.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from importlib.resources import files
from types import MappingProxyType

from orchestrator.admission.keys import literal, literal_table, lua_table

#: A key by its name, and by one that is known only when the script runs.
_KEY, _LOOKED_UP = re.compile(r"\bkey\.([a-z_]+)"), "key["
_FIELD = re.compile(r"^-- (ARGV|REPLY|USES) +(.*)$", re.MULTILINE)
_LUA = files("orchestrator.admission").joinpath("lua")
#: Pieces that stand before all others: they decide, or hold what the others need.
_FIRST = ("freely", "now", "ready", "learn", "config")
#: The names that a statement defines.
_DEFINED = re.compile(r"^local (?:function (\w+)|(\w+(?:, \w+)*))", re.MULTILINE)
#: A line that goes on with the statement above it.
_INSIDE = re.compile(r"$|[ })]|(?:end|else|elseif|until)\b")


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
        self._names = sorted(page.name[:-4] for page in _LUA.iterdir() if page.is_file())

    def __iter__(self) -> Iterator[Script]:
        return map(self.load, self._names)

    def load(self, name: str) -> Script:
        """The script of this verb."""
        text = self._page(name)
        header = _header(text)
        arguments = tuple(header.get("ARGV", "").split())
        pieces = self._used(header, {})
        first = [pieces.pop(one) for one in _FIRST if one in pieces]
        functions = tuple(one for piece in pieces.values() for one in _statements(piece))
        body = _put_where_needed(text, functions)
        parts = [lua_table(), *first, _locals(arguments), *body]
        return Script(name, "\n".join(parts), arguments)

    def _used(self, header: Mapping[str, str], found: dict[str, str]) -> dict[str, str]:
        """The pieces that a header names and all they use, each after what it uses."""
        for name in header.get("USES", "").split():
            if name not in found:
                text = self._piece(name)
                self._used(_header(text), found)
                found[name] = text
        return found

    def _piece(self, name: str) -> str:
        if name not in self._pieces:
            self._pieces[name] = self._page(f"lib/{name}")
        return self._pieces[name]

    def _page(self, name: str) -> str:
        return _LUA.joinpath(f"{name}.lua").read_text()


# What follows looks at text alone, and at the same text again and again: for every script that
# uses a piece, and for every gate of a process.


@cache
def _put_where_needed(page: str, functions: tuple[str, ...]) -> tuple[str, ...]:
    """The statements of a page, each after what it needs, by itself or through others."""
    found: list[str] = []
    for statement in _statements(page):
        words, needed = set(_words(statement)), []
        for function in reversed(functions):
            if not words.isdisjoint(defined(function)):
                words |= _words(function)
                needed.append(function)
        found += reversed(needed)
        functions = tuple(one for one in functions if one not in needed)
        found.append(statement)
    return tuple(found)


@cache
def _statements(page: str) -> tuple[str, ...]:
    """The outermost ones, each with the comment above it and with what defines no name below."""
    found: list[list[str]] = [[]]
    for line in page.splitlines():
        is_said = bool(found[-1]) and not found[-1][-1].startswith("--")
        if is_said and not _INSIDE.match(line):
            found.append([])
        found[-1].append(line)
    return tuple("\n".join(lines) for lines in found)


@cache
def defined(page: str) -> frozenset[str]:
    """The names that the outermost statements of a page define."""
    return frozenset(
        name
        for function, variables in _DEFINED.findall(page)
        for name in (function or variables).split(", ")
    )


@cache
def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", re.sub(r"--.*", "", text)))


@cache
def _header(text: str) -> Mapping[str, str]:
    fields: dict[str, str] = {}
    for field, value in _FIELD.findall(text):
        fields[field] = f"{fields.get(field, '')} {value}".strip()
    return MappingProxyType(fields)


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
