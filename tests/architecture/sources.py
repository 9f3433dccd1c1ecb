"""The project's own files, for tests that read them."""

from __future__ import annotations

import ast
import functools
import io
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("orchestrator", "workers", "migrations")
ALL = (*PACKAGES, "examples", "tests", "benchmarks")


@functools.cache
def python_files(*folders: str) -> tuple[Path, ...]:
    """All modules below these folders of the repository."""
    return tuple(sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py")))


def name_of(path: Path) -> str:
    """The path as one writes it in the repository."""
    return path.relative_to(ROOT).as_posix()


def inside(path: Path, *folders: str) -> bool:
    """Whether a file is below one of these folders, or is one of these files."""
    return any(path.is_relative_to(ROOT / folder) for folder in folders)


@functools.cache
def tree_of(path: Path) -> ast.Module:
    """The parsed module."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def docstrings(path: Path) -> set[int]:
    """The lines on which docstrings begin."""
    return {
        node.body[0].lineno
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and ast.get_docstring(node, clean=False) is not None
    }


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Line and value of every string that is no docstring; of f-strings the constant parts."""
    said = docstrings(path)
    for node in ast.walk(tree_of(path)):
        match node:
            case ast.Constant(value=str(text)) if node.lineno not in said:
                yield node.lineno, text


def comments(path: Path) -> Iterator[tuple[int, str]]:
    """Line and text of every comment."""
    for token in tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def calls(path: Path) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything that is called, as `deps.gate.redis.info`."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Call) and (name := _dotted(node.func)):
            yield node.lineno, name


def _dotted(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=name):
            head = _dotted(value)
            return f"{head}.{name}" if head else ""
        case _:
            return ""
