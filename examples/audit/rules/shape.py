"""Rules about the shape of functions and files: length, complexity, parameters, nesting."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from examples.audit.rules.base import (
    HIGH,
    LOW,
    MEDIUM,
    Function,
    Hit,
    Limits,
    blocks,
    over,
    own_nodes,
)
from examples.audit.source import SourceFile

LENGTH_LIMITS: Limits = {MEDIUM: 60, HIGH: 120}
COMPLEXITY_LIMITS: Limits = {MEDIUM: 10, HIGH: 20}
PARAMETER_LIMITS: Limits = {LOW: 6, MEDIUM: 10}
NESTING_LIMITS: Limits = {MEDIUM: 4, HIGH: 6}
FILE_LIMITS: Limits = {LOW: 1000, MEDIUM: 2000}

_BRANCHES = (ast.If, ast.IfExp, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler)
_COMPOUND = (
    ast.If,
    ast.For,
    ast.AsyncFor,
    ast.While,
    ast.Try,
    ast.TryStar,
    ast.With,
    ast.AsyncWith,
    ast.Match,
)


def function_length(node: Function, _file: SourceFile) -> Iterator[Hit]:
    """Lines from ``def`` to the end, without the docstring. Blank and comment lines count."""
    lines = (node.end_lineno or node.lineno) - node.lineno + 1 - docstring_lines(node)
    yield from over(node.lineno, lines, LENGTH_LIMITS, f"{lines} lines")


def docstring_lines(node: Function | ast.ClassDef | ast.Module) -> int:
    """Number of lines that the docstring takes; 0 without one."""
    if ast.get_docstring(node, clean=False) is None:
        return 0
    return (node.body[0].end_lineno or 0) - node.body[0].lineno + 1


def function_complexity(node: Function, _file: SourceFile) -> Iterator[Hit]:
    """McCabe's cyclomatic complexity (IEEE TSE 2(4), 1976): decisions + 1.

    A decision is each ``if``, ``elif``, conditional expression, loop, ``except``, ``case``
    that can fail to match, ``for`` and ``if`` of a comprehension, and each further operand
    of ``and``/``or`` (compound conditions count by operand, as the paper says). A nested
    function counts on its own. ``with``, ``assert``, ``else`` and ``finally`` decide nothing.
    """
    value = complexity(node)
    yield from over(node.lineno, value, COMPLEXITY_LIMITS, f"cyclomatic complexity {value}")


def complexity(node: Function) -> int:
    """The cyclomatic complexity of one function, 1 for a straight line."""
    return 1 + sum(_decisions(inner) for inner in own_nodes(node))


def _decisions(node: ast.AST) -> int:
    if isinstance(node, _BRANCHES):
        return 1
    if isinstance(node, ast.BoolOp):
        return len(node.values) - 1
    if isinstance(node, ast.comprehension):
        return 1 + len(node.ifs)
    return int(isinstance(node, ast.match_case) and not _always_matches(node))


def _always_matches(case: ast.match_case) -> bool:
    pattern = case.pattern
    return case.guard is None and isinstance(pattern, ast.MatchAs) and pattern.pattern is None


def parameter_count(node: Function, _file: SourceFile) -> Iterator[Hit]:
    """Named parameters, without ``self``/``cls`` in first place and without ``*args, **kw``."""
    arguments = node.args
    names = [a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    count = len(names) - (names[:1] in (["self"], ["cls"]))
    yield from over(node.lineno, count, PARAMETER_LIMITS, f"{count} parameters")


def nesting_depth(node: Function, _file: SourceFile) -> Iterator[Hit]:
    """Depth of compound statements in each other; an ``elif`` stays on the level of its ``if``."""
    depth, line = deepest(node)
    yield from over(line, depth, NESTING_LIMITS, f"nested {depth} levels deep")


def deepest(node: Function) -> tuple[int, int]:
    """The largest nesting depth in a function and the line where it is first reached."""
    best = (0, node.lineno)
    stack = [(statement, 0) for statement in reversed(node.body)]
    while stack:
        statement, outer = stack.pop()
        depth = outer + isinstance(statement, _COMPOUND)
        best = max(best, (depth, -statement.lineno), key=lambda pair: pair[0])
        stack.extend(_inner_statements(statement, outer, depth))
    return best[0], abs(best[1])


def _inner_statements(
    statement: ast.stmt, outer: int, depth: int
) -> Iterator[tuple[ast.stmt, int]]:
    """The statements inside a compound one, each with the depth that surrounds it."""
    if not isinstance(statement, _COMPOUND):
        return
    for holder in (statement, *_arms(statement)):
        for block in blocks(holder):
            for inner in reversed(block):
                yield inner, outer if _is_elif(statement, inner) else depth


def _arms(statement: ast.stmt) -> Sequence[ast.AST]:
    if isinstance(statement, ast.Try | ast.TryStar):
        return statement.handlers
    return statement.cases if isinstance(statement, ast.Match) else []


def _is_elif(outer: ast.stmt, inner: ast.stmt) -> bool:
    """Both parse to the same tree, but an ``elif`` starts in the column of its ``if``."""
    same_kind = isinstance(outer, ast.If) and isinstance(inner, ast.If)
    return same_kind and outer.col_offset == inner.col_offset


def file_length(_node: ast.Module, file: SourceFile) -> Iterator[Hit]:
    """Lines of the whole file, of any kind."""
    yield from over(1, len(file.lines), FILE_LIMITS, f"{len(file.lines)} lines in one file")
