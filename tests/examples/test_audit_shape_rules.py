"""Length, complexity, parameters and nesting: what is too much, and what only looks like it."""

from __future__ import annotations

import ast
from textwrap import dedent, indent

import pytest

from examples.audit.findings import Severity
from examples.audit.rules.base import Function
from examples.audit.rules.shape import complexity, deepest
from tests.examples.support import found, lines


def function(body: str, head: str = "def f(a, b):") -> Function:
    """The parsed function with this body."""
    tree = ast.parse(f"{head}\n{indent(dedent(body), '    ')}")
    node = tree.body[0]
    assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    return node


def with_statements(count: int, docstring: int = 0) -> str:
    """A function of so many lines, its head included and its docstring not."""
    text = ['    """' + "\n" * (docstring - 1) + '"""'] if docstring else []
    return "\n".join(["def f():", *text, *["    x = 1"] * (count - 1)])


def test_a_function_may_have_sixty_lines() -> None:
    assert found("long-function", with_statements(60)) == []
    [finding] = found("long-function", with_statements(61))
    assert (finding.severity, finding.line, finding.symbol) == (Severity.MEDIUM, 1, "f")


def test_a_function_over_twice_the_limit_is_grave() -> None:
    [finding] = found("long-function", with_statements(121))
    assert finding.severity is Severity.HIGH
    assert finding.excess == pytest.approx(121 / 60, abs=0.01)


def test_the_docstring_does_not_make_a_function_long() -> None:
    assert found("long-function", with_statements(60, docstring=30)) == []
    assert len(found("long-function", with_statements(61, docstring=30))) == 1


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("return a", 1),
        ("if a: pass", 2),
        ("if a: pass\nelse: pass", 2),
        ("if a: pass\nelif b: pass\nelse: pass", 3),
        ("return a if b else 1", 2),
        ("for x in a: pass\nelse: pass", 2),
        ("while a: pass", 2),
        ("try: pass\nexcept ValueError: pass\nexcept OSError: pass\nfinally: pass", 3),
        ("return a and b", 2),
        ("return a and b and 1 or 2", 4),
        ("return [x for x in a]", 2),
        ("return [x for x in a if x if b]", 4),
        ("return {x: y for x in a for y in b}", 3),
        ("with a: pass", 1),
        ("assert a", 1),
        ("match a:\n  case 1: pass\n  case [x]: pass", 3),
        ("match a:\n  case 1: pass\n  case _: pass", 2),
        ("match a:\n  case x if b: pass", 2),
        ("def g():\n  if a: pass\n  if b: pass\nreturn g", 1),
        ("return lambda: a if b else 1", 1),
        ("class C:\n  if a: pass", 1),
    ],
)
def test_cyclomatic_complexity_counts_decisions(body: str, expected: int) -> None:
    assert complexity(function(body)) == expected


def test_complexity_in_async_code_counts_alike() -> None:
    body = "async for x in a:\n  if x: pass"
    assert complexity(function(body, "async def f(a):")) == 3


def test_complexity_is_reported_over_ten_and_grave_over_twenty() -> None:
    def code(decisions: int) -> str:
        return "def f(a):\n" + "    if a: pass\n" * decisions

    assert found("complex-function", code(9)) == []
    assert [f.severity for f in found("complex-function", code(10))] == [Severity.MEDIUM]
    assert [f.severity for f in found("complex-function", code(20))] == [Severity.HIGH]


@pytest.mark.parametrize(
    "head",
    [
        "def f(a, b, c, d, e, g): pass",
        "def f(self, a, b, c, d, e, g): pass",
        "def f(a, b, c, *args, d, e, g, **rest): pass",
    ],
)
def test_six_parameters_are_fine(head: str) -> None:
    assert found("many-parameters", head) == []


@pytest.mark.parametrize(
    "head",
    [
        "def f(a, b, c, d, e, g, h): pass",
        "async def f(a, /, b, c, *, d, e, g, h): pass",
        "def f(a, self, b, c, d, e, g): pass",
    ],
)
def test_seven_parameters_are_too_many(head: str) -> None:
    assert lines("many-parameters", head) == [1]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("return a", 0),
        ("if a:\n  for x in b:\n    while x:\n      pass", 3),
        ("if a: pass\nelif b:\n  if a: pass", 2),
        ("if a: pass\nelse:\n  if b: pass", 2),
        ("try:\n  pass\nexcept OSError:\n  with a:\n    pass", 2),
        ("match a:\n  case 1:\n    if b: pass", 2),
        ("def g():\n  if a:\n    if b: pass\nreturn g", 0),
    ],
)
def test_nesting_depth(body: str, expected: int) -> None:
    assert deepest(function(body))[0] == expected


def test_deep_nesting_names_the_line_where_it_is_reached() -> None:
    code = """\
        def f(a):
            if a:
                for b in a:
                    while b:
                        with b:
                            if b:
                                pass
    """
    [finding] = found("deep-nesting", code)
    assert (finding.line, finding.severity) == (6, Severity.MEDIUM)


def test_a_chain_of_elif_is_not_deep() -> None:
    chain = "def f(a):\n    if a == 0: pass\n"
    chain += "".join(f"    elif a == {n}: pass\n" for n in range(1, 30))
    assert found("deep-nesting", chain) == []


def test_a_file_may_have_a_thousand_lines() -> None:
    assert found("long-file", "x = 1\n" * 999) == []
    assert [f.severity for f in found("long-file", "x = 1\n" * 1000)] == [Severity.LOW]
    assert [f.severity for f in found("long-file", "x = 1\n" * 2000)] == [Severity.MEDIUM]
