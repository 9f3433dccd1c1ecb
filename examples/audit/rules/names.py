"""Rules about names: docstrings of public ones, imports that nothing uses."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from examples.audit.rules.base import FUNCTIONS, LOW, MEDIUM, Function, Hit, is_public
from examples.audit.source import SourceFile

_WORD = re.compile(r"[^\W\d]\w*")
# Strings longer than this are prose, not annotations or entries of __all__.
_MAX_ANNOTATION = 120


def missing_docstring(node: ast.Module | ast.ClassDef, _file: SourceFile) -> Iterator[Hit]:
    """Public modules, and public classes, functions and methods directly inside them.

    Private names, dunder methods, nested functions and empty modules need none.
    """
    if isinstance(node, ast.Module) and node.body and ast.get_docstring(node) is None:
        yield Hit(1, LOW, "the module has no docstring")
    for child in node.body:
        if isinstance(child, (*FUNCTIONS, ast.ClassDef)) and _needs_docstring(child):
            kind = "class" if isinstance(child, ast.ClassDef) else "function"
            yield Hit(child.lineno, LOW, f"public {kind} `{child.name}` has no docstring")


def _needs_docstring(node: Function | ast.ClassDef) -> bool:
    return is_public(node.name) and ast.get_docstring(node) is None


def unused_import(_node: ast.Module, file: SourceFile) -> Iterator[Hit]:
    """An imported name that nothing in the file mentions.

    A mention anywhere counts, whatever its scope, also in a short string (annotations in
    quotes, ``__all__``). Left alone: ``__future__``, names that start with an underscore, and
    ``import x as x``, which says "re-exported". A name that only other files take from here
    looks unused to this rule; the review clears it.
    """
    used = mentioned_names(file)
    for statement in file.nodes:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            for name, shown in bound_names(statement):
                if name not in used and is_public(name):
                    yield Hit(statement.lineno, MEDIUM, f"`{shown}` is imported but not used")


def bound_names(node: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, str]]:
    """The names an import binds, each with the imported name to show."""
    if isinstance(node, ast.ImportFrom) and node.module == "__future__":
        return
    for alias in node.names:
        if alias.name != "*" and alias.asname != alias.name:
            yield alias.asname or alias.name.split(".")[0], alias.name


def mentioned_names(file: SourceFile) -> frozenset[str]:
    """Every name that is read, and every word of short strings."""
    names: set[str] = set()
    for node in file.nodes:
        if isinstance(node, ast.Name):
            names.add(node.id)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names.update(_WORD.findall(node.value[:_MAX_ANNOTATION]))
    return frozenset(names)


def wildcard_import(node: ast.ImportFrom, _file: SourceFile) -> Iterator[Hit]:
    """``from x import *`` hides where names come from and blinds other checks."""
    if any(alias.name == "*" for alias in node.names):
        yield Hit(node.lineno, LOW, f"wildcard import from `{node.module or '.'}`")
