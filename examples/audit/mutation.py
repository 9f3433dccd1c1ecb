"""Whether a function can change the object that one of its parameters holds."""

from __future__ import annotations

import ast

from examples.audit.rules.base import Function, dotted

_READING_CALLS = frozenset(
    {
        "all", "any", "bool", "dict", "enumerate", "frozenset", "isinstance", "len", "list",
        "max", "min", "repr", "set", "sorted", "str", "sum", "tuple", "zip",
    }
)  # fmt: skip  # a list of words reads better in rows
_READING_METHODS = frozenset(
    {"copy", "count", "get", "index", "items", "keys", "union", "values", "issubset"}
)


def only_read(function: Function, parameter: str) -> bool:
    """Whether every use of `parameter` surely leaves its object as it is.

    Careful in doubt: an object that is stored, returned or given to an unknown function may
    be changed there, so that counts as a change.
    """
    parents = {child: node for node in ast.walk(function) for child in ast.iter_child_nodes(node)}
    uses = [n for n in ast.walk(function) if isinstance(n, ast.Name) and n.id == parameter]
    return all(_is_reading(use, parents) for use in uses)


def _is_reading(use: ast.Name, parents: dict[ast.AST, ast.AST]) -> bool:
    parent = parents[use]
    if isinstance(parent, ast.Attribute):
        return parent.attr in _READING_METHODS
    if isinstance(parent, ast.Subscript):
        return parent.value is use and isinstance(parent.ctx, ast.Load)
    if isinstance(parent, ast.Call):
        return dotted(parent.func) in _READING_CALLS
    return _is_iterated_or_tested(use, parent)


def _is_iterated_or_tested(use: ast.Name, parent: ast.AST) -> bool:
    if isinstance(parent, ast.For | ast.AsyncFor | ast.comprehension):
        return parent.iter is use
    if isinstance(parent, ast.If | ast.While | ast.IfExp):
        return parent.test is use
    unpacked = isinstance(parent, ast.Starred) or (
        isinstance(parent, ast.keyword) and parent.arg is None
    )
    return unpacked or isinstance(parent, ast.Compare)
