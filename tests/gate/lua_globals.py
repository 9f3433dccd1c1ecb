"""The globals that a Lua chunk touches, read from its bytecode.

A misspelt name is a global to Lua, and found only when the line runs. The layout is that of
Lua 5.1 (`ldump.c`, `lopcodes.h`), which all Redis-protocol servers run.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lupa import lua51

_GETGLOBAL, _SETGLOBAL = 5, 7
_NIL, _BOOLEAN, _NUMBER, _STRING = 0, 1, 3, 4


@dataclass(frozen=True)
class Globals:
    """Names that are read and names that are written."""

    read: frozenset[str]
    written: frozenset[str]


def globals_of(source: str) -> Globals:
    """The globals of a chunk and of all functions in it. Raises when it does not compile."""
    lua = lua51.LuaRuntime(encoding=None)
    dump = lua.eval(b"function(text) return string.dump(assert(loadstring(text))) end")
    uses = list(_Reader(dump(source.encode())).function())
    return Globals(
        frozenset(name for code, name in uses if code == _GETGLOBAL),
        frozenset(name for code, name in uses if code == _SETGLOBAL),
    )


class _Reader:
    """Reads a dumped chunk from its beginning."""

    def __init__(self, dump: bytes) -> None:
        self._dump = dump
        self._at = 12
        # Signature, version 5.1, format, little endian, sizes of int, size_t, instruction, number.
        if dump[:12] != b"\x1bLua\x51\x00\x01\x04\x08\x04\x08\x00":
            raise ValueError("not the bytecode of a 64-bit little-endian Lua 5.1")

    def function(self) -> Iterator[tuple[int, str]]:
        """Opcode and name of each use of a global."""
        self._string()
        self._take("<ii4B")
        (count,) = self._take("<i")
        code = self._take(f"<{count}I")
        constants = self._constants()
        for instruction in code:
            if instruction & 0x3F in (_GETGLOBAL, _SETGLOBAL):
                yield instruction & 0x3F, constants[instruction >> 14]
        for _ in range(self._take("<i")[0]):
            yield from self.function()
        self._skip_names()

    def _constants(self) -> list[str]:
        return [self._constant() for _ in range(self._take("<i")[0])]

    def _constant(self) -> str:
        (kind,) = self._take("<B")
        if kind == _STRING:
            return self._string()
        self._take({_NIL: "", _BOOLEAN: "<B", _NUMBER: "<d"}[kind])
        return ""

    def _skip_names(self) -> None:
        """What is there for debugging: lines, local variables, upvalues."""
        self._take(f"<{self._take('<i')[0]}i")
        for _ in range(self._take("<i")[0]):
            self._string()
            self._take("<ii")
        for _ in range(self._take("<i")[0]):
            self._string()

    def _string(self) -> str:
        (size,) = self._take("<Q")
        (data,) = self._take(f"<{size}s")
        return str(data[:-1], "utf-8")

    def _take(self, layout: str) -> tuple[Any, ...]:
        found = struct.unpack_from(layout, self._dump, self._at)
        self._at += struct.calcsize(layout)
        return found
