"""Rules about code that does something else than it seems to do."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

from examples.audit.rules.base import (
    FUNCTIONS,
    HIGH,
    LOW,
    MEDIUM,
    Function,
    Hit,
    blocks,
    decorators,
    dotted,
)
from examples.audit.source import SourceFile

_MUTABLE_NODES = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)
_MUTABLE_CALLS = frozenset({"list", "dict", "set", "bytearray", "defaultdict", "deque", "Counter"})
_JUMPS = (ast.Return, ast.Raise, ast.Continue, ast.Break)


def mutable_default(node: Function, _file: SourceFile) -> Iterator[Hit]:
    """A default is made once, when ``def`` runs, and then shared by all calls."""
    for name, default in defaults(node):
        if is_mutable(default):
            yield Hit(default.lineno, MEDIUM, f"the default of `{name}` is shared by all calls")


def defaults(node: Function) -> Iterator[tuple[str, ast.expr]]:
    """Each parameter that has a default, with it."""
    arguments = node.args
    positional = [*arguments.posonlyargs, *arguments.args]
    given = positional[len(positional) - len(arguments.defaults) :]
    yield from zip((a.arg for a in given), arguments.defaults, strict=True)
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        if default is not None:
            yield argument.arg, default


def is_mutable(node: ast.expr) -> bool:
    """Whether the expression makes a new object that can be changed (built-in kinds only)."""
    if isinstance(node, ast.Call):
        return dotted(node.func).rsplit(".", 1)[-1] in _MUTABLE_CALLS
    return isinstance(node, _MUTABLE_NODES)


def assert_on_tuple(node: ast.Assert, _file: SourceFile) -> Iterator[Hit]:
    """``assert (condition, "message")`` tests a tuple, which is always true."""
    if isinstance(node.test, ast.Tuple) and node.test.elts:
        yield Hit(node.lineno, HIGH, "assert on a tuple is always true")


def identity_of_literal(node: ast.Compare, _file: SourceFile) -> Iterator[Hit]:
    """``is`` with a number, string or tuple compares identity, which depends on the interpreter."""
    for operator, operand in zip(node.ops, node.comparators, strict=True):
        if isinstance(operator, ast.Is | ast.IsNot) and _is_value(operand):
            yield Hit(node.lineno, HIGH, "`is` with a literal: meant is `==`")


def _is_value(node: ast.expr) -> bool:
    if isinstance(node, ast.Constant):
        return isinstance(node.value, int | float | complex | str | bytes) and not isinstance(
            node.value, bool
        )
    return isinstance(node, ast.Tuple)


def duplicate_key(node: ast.Dict, _file: SourceFile) -> Iterator[Hit]:
    """The same constant key twice in one dict literal: only the last value survives."""
    keys = [k for k in node.keys if isinstance(k, ast.Constant)]
    count = Counter((type(k.value), k.value) for k in keys)
    for key in keys:
        if count.pop((type(key.value), key.value), 0) > 1:
            yield Hit(key.lineno, HIGH, f"{_shown(key)} appears more than once")


def _shown(key: ast.Constant) -> str:
    """The key for a message. Only strings: writing out a huge integer may be refused."""
    return f"key {key.value!r}" if isinstance(key.value, str) else "a key"


def unreachable(node: ast.AST, _file: SourceFile) -> Iterator[Hit]:
    """A statement after ``return``, ``raise``, ``continue`` or ``break`` in the same block.

    One that holds a ``yield`` is left alone: it makes the function a generator.
    """
    for block in blocks(node):
        for jump, after in pairwise(block):
            if isinstance(jump, _JUMPS) and not _yields(after):
                yield Hit(after.lineno, MEDIUM, f"never runs: line {jump.lineno} leaves the block")


def _yields(statement: ast.stmt) -> bool:
    return any(isinstance(inner, ast.Yield | ast.YieldFrom) for inner in ast.walk(statement))


def redefined(node: ast.Module | ast.ClassDef, _file: SourceFile) -> Iterator[Hit]:
    """A second ``def`` of a name in one block that hides the first, which nothing used.

    Decorated definitions are left alone (overloads, properties, registrations), and so is a
    name that any statement between the two reads, or that is only ``_``.
    """
    seen: dict[str, int] = {}
    for position, statement in enumerate(node.body):
        if not isinstance(statement, (*FUNCTIONS, ast.ClassDef)) or decorators(statement):
            continue
        first = seen.get(statement.name)
        if first is not None and not _reads(node.body[first : position + 1], statement.name):
            line = node.body[first].lineno
            yield Hit(statement.lineno, HIGH, f"hides `{statement.name}` of line {line}")
        if statement.name != "_":
            seen[statement.name] = position


def _reads(statements: list[ast.stmt], name: str) -> bool:
    names = (inner for statement in statements for inner in ast.walk(statement))
    return any(isinstance(inner, ast.Name) and inner.id == name for inner in names)


def dynamic_code(node: ast.Call, _file: SourceFile) -> Iterator[Hit]:
    """``eval`` and ``exec`` of anything that is not written in the source as a literal."""
    name = dotted(node.func)
    if name in ("eval", "exec") and node.args and not isinstance(node.args[0], ast.Constant):
        yield Hit(node.lineno, MEDIUM, f"{name} of text made at run time")


def shell_command(node: ast.Call, _file: SourceFile) -> Iterator[Hit]:
    """A command made at run time and given to a shell: ``os.system`` or ``shell=True``."""
    shell = any(k.arg == "shell" and _is_true(k.value) for k in node.keywords)
    fixed = bool(node.args) and isinstance(node.args[0], ast.Constant)
    if (shell or dotted(node.func) in ("os.system", "os.popen")) and not fixed:
        yield Hit(node.lineno, HIGH, "a shell runs a command that is made at run time")


def _is_true(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is True


def global_statement(node: ast.Global, _file: SourceFile) -> Iterator[Hit]:
    """``global`` in a function: state of the module that any call may change."""
    names = ", ".join(node.names)
    yield Hit(node.lineno, LOW, f"writes the module's `{names}` from inside a function")
