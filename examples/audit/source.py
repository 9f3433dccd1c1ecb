"""Reading Python source that may be anything: bytes in, a parsed file or one finding out."""

from __future__ import annotations

import ast
import io
import re
import threading
import tokenize
import warnings
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from examples.audit.findings import Finding, Severity, clean

#: Files above this size are generated or data; they are named in the report, not analysed.
MAX_FILE_BYTES = 1_048_576

# `catch_warnings` changes a global of the interpreter: two threads inside it would restore
# each other's filters. The parser holds the interpreter lock anyway, so this costs nothing.
_parsing = threading.Lock()


@dataclass(frozen=True)
class SourceFile:
    """One parsed file. Line endings are already ``\\n``."""

    #: Path relative to the audited source, with forward slashes.
    path: str
    text: str
    tree: ast.Module

    @cached_property
    def lines(self) -> list[str]:
        """The lines of the file without their ends; ``lines[n - 1]`` is line `n`."""
        return self.text.split("\n")

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """Every node of the tree, outer ones first. Several rules look at all of them."""
        return list(ast.walk(self.tree))

    @cached_property
    def classes(self) -> dict[str, ast.ClassDef]:
        """The classes of the file by name, nested ones too; of several alike the last."""
        return {node.name: node for node in self.nodes if isinstance(node, ast.ClassDef)}

    @cached_property
    def _by_line(self) -> dict[int, list[ast.stmt | ast.ExceptHandler]]:
        found: dict[int, list[ast.stmt | ast.ExceptHandler]] = {}
        for node in self.nodes:
            if isinstance(node, ast.stmt | ast.ExceptHandler):
                found.setdefault(node.lineno, []).append(node)
        return found

    def at(self, line: int) -> list[ast.stmt | ast.ExceptHandler]:
        """The statements and handlers that begin on a line, outer ones first."""
        return self._by_line.get(line, [])

    @cached_property
    def tokens(self) -> list[tokenize.TokenInfo]:
        """All tokens, or those before the first place that cannot be tokenised."""
        found: list[tokenize.TokenInfo] = []
        # The parser may be more generous than the tokeniser: then a shorter list is right.
        with suppress(tokenize.TokenError, SyntaxError):
            found.extend(tokenize.generate_tokens(io.StringIO(self.text).readline))
        return found

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rsplit("/", 1)[-1]

    @property
    def is_test(self) -> bool:
        """Whether the path says that this is test code."""
        *folders, name = self.path.split("/")
        return bool(re.match(r"test_|conftest\.py$", name)) or bool(
            {"tests", "test"} & set(folders)
        )

    def text_of(self, first: int, last: int) -> str:
        """Lines `first` to `last`, both included, counted from 1."""
        return "\n".join(self.lines[first - 1 : last])


def load(root: Path, path: str) -> SourceFile | Finding:
    """Read and parse ``root / path``; whatever stands in the way becomes a finding."""
    try:
        file = root / path
        size = file.stat().st_size
        if size > MAX_FILE_BYTES:
            return _refused("too-large-file", path, f"{size:,} bytes: not analysed")
        data = file.read_bytes()
    except OSError as error:
        return _refused("unreadable-file", path, error.strerror or type(error).__name__)
    return parse(data, path)


def parse(data: bytes, path: str) -> SourceFile | Finding:
    """Decode and parse the bytes of one file. Never raises for any content."""
    try:
        text = decode(data)
    except (SyntaxError, LookupError, ValueError) as error:
        return _refused("unreadable-file", path, f"cannot be decoded: {error}")
    try:
        return SourceFile(path, text, _parse_quietly(text))
    except SyntaxError as error:
        return _refused("syntax-error", path, error.msg, error.lineno or 0)
    except (ValueError, RecursionError, MemoryError) as error:
        return _refused("syntax-error", path, f"the parser gave up: {str(error) or 'too deep'}")


def decode(data: bytes) -> str:
    """The text of a Python file by its declared encoding (PEP 263), with ``\\n`` line ends.

    Raises SyntaxError for a bad declaration, LookupError for an unknown encoding, and
    UnicodeError (a ValueError) for bytes that are not in the declared encoding.
    """
    encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
    with _parsing, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        text = data.decode(encoding)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _parse_quietly(text: str) -> ast.Module:
    """Parse without the warnings that the audited code deserves: they are not ours to print."""
    with _parsing, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(text)


def _refused(rule: str, path: str, why: str, line: int = 0) -> Finding:
    return Finding(rule, path, line, Severity.HIGH, clean(why))
