"""The shape of a rule and the small helpers that several rules share."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from examples.audit.findings import Severity

HIGH, MEDIUM, LOW = Severity.HIGH, Severity.MEDIUM, Severity.LOW

Function = ast.FunctionDef | ast.AsyncFunctionDef
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
SCOPES = (*FUNCTIONS, ast.ClassDef, ast.Lambda)


@dataclass(frozen=True, slots=True)
class Hit:
    """What a rule says about one place; the driver adds rule, path and symbol."""

    line: int
    severity: Severity
    message: str
    #: Measured value over the allowed one; 1.0 for rules that measure nothing.
    excess: float = 1.0


@dataclass(frozen=True, slots=True)
class Rule:
    """A check and the kinds of node it wants to see."""

    name: str
    #: What the rule is for, in one sentence, for the report's legend.
    about: str
    #: Called as ``check(node, file)`` for each node of these types.
    nodes: tuple[type[ast.AST], ...]
    # Each check takes its own node type; a table of them has no closer common type.
    check: Callable[..., Iterator[Hit]]


#: The value above which a measure is a finding, for each severity; the mildest limit first.
Limits = dict[Severity, int]


def over(line: int, measured: int, limits: Limits, message: str) -> Iterator[Hit]:
    """A hit of the gravest severity whose limit `measured` exceeds, if any."""
    passed = [severity for severity, limit in limits.items() if measured > limit]
    if passed:
        yield Hit(line, passed[-1], message, round(measured / min(limits.values()), 2))


def own_nodes(scope: ast.AST) -> Iterator[ast.AST]:
    """The nodes below `scope` that run as part of it: not those of nested functions or classes."""
    stack = list(ast.iter_child_nodes(scope))
    while stack:
        node = stack.pop()
        yield node
        if not isinstance(node, SCOPES):
            stack.extend(ast.iter_child_nodes(node))


def blocks(node: ast.AST) -> Iterator[list[ast.stmt]]:
    """The lists of statements that `node` holds directly (body, else, finally ...)."""
    for _, value in ast.iter_fields(node):
        if isinstance(value, list) and value and isinstance(value[0], ast.stmt):
            yield value


def dotted(node: ast.AST) -> str:
    """``a.b.c`` of a name or attribute chain; empty for any other expression."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else ""


def decorators(node: Function | ast.ClassDef) -> list[str]:
    """Dotted names of the decorators, without their arguments."""
    calls = (d.func if isinstance(d, ast.Call) else d for d in node.decorator_list)
    return [dotted(d) for d in calls]


def is_public(name: str) -> bool:
    """Whether a name is part of the public face of its module or class."""
    return not name.startswith("_")
