"""Rules about raising and catching."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from examples.audit.rules.base import HIGH, LOW, MEDIUM, Hit, dotted, own_nodes
from examples.audit.source import SourceFile

_BROAD = frozenset({"Exception", "BaseException"})


def bare_except(node: ast.ExceptHandler, _file: SourceFile) -> Iterator[Hit]:
    """``except:`` also catches KeyboardInterrupt and SystemExit; worst when nothing is done."""
    if node.type is None:
        severity = HIGH if is_silent(node) else MEDIUM
        yield Hit(node.lineno, severity, "bare except catches even SystemExit")


def swallowed_exception(node: ast.ExceptHandler, _file: SourceFile) -> Iterator[Hit]:
    """``except Exception: pass``: every error is thrown away without a trace.

    A named, narrower exception may well be expected, so those are not reported.
    """
    caught = dotted(node.type) if node.type else ""
    if caught in _BROAD and is_silent(node):
        severity = HIGH if caught == "BaseException" else MEDIUM
        yield Hit(node.lineno, severity, f"every {caught} is silently dropped")


def is_silent(handler: ast.ExceptHandler) -> bool:
    """Whether a handler does nothing at all."""
    return all(isinstance(s, ast.Pass | ast.Continue) or _is_constant(s) for s in handler.body)


def _is_constant(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def return_in_finally(node: ast.Try | ast.TryStar, _file: SourceFile) -> Iterator[Hit]:
    """A ``return`` in ``finally`` replaces the exception that was on its way."""
    for inner in own_nodes(ast.Module(node.finalbody, [])):
        if isinstance(inner, ast.Return):
            yield Hit(inner.lineno, HIGH, "return in finally drops the exception in flight")


def raise_not_implemented(node: ast.Raise, _file: SourceFile) -> Iterator[Hit]:
    """``NotImplemented`` is a value for operators; raising it is a TypeError."""
    target = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
    if target is not None and dotted(target) == "NotImplemented":
        yield Hit(node.lineno, HIGH, "raises NotImplemented, meant is NotImplementedError")


def lost_cause(node: ast.ExceptHandler, _file: SourceFile) -> Iterator[Hit]:
    """A new exception of the same handler without ``from``: the cause is only implied.

    Only a handler whose last statement raises another exception is looked at.
    """
    last = node.body[-1]
    if isinstance(last, ast.Raise) and isinstance(last.exc, ast.Call) and last.cause is None:
        name = dotted(last.exc.func) or "an exception"
        yield Hit(last.lineno, LOW, f"raises {name} without `from`: the cause is only implied")
