"""Danger: the reference says what is not so, or does not say what is."""

from __future__ import annotations

import ast
import dataclasses
import enum
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic_core import PydanticUndefined

import orchestrator
from orchestrator import testing
from orchestrator.cli.main import FAILED, REFUSED, UNAVAILABLE
from orchestrator.config.settings import Settings
from orchestrator.devstack import errors as devstack_errors
from orchestrator.domain import errors
from orchestrator.domain.call import CallRefusal
from orchestrator.domain.lifecycle import Reason
from orchestrator.domain.limits import Limits
from orchestrator.domain.verdict import Refusal
from tests.cli.commands import every_command
from tests.docs.pages import DOCS, ROOT, blocks, rows, sections
from workers.canary import SILENT

REFERENCE = DOCS / "reference"


def bare(cell: str) -> str:
    """A cell without the marks of code."""
    return cell.replace("`", "")


# --- settings -----------------------------------------------------------------------------


def fields() -> Iterator[tuple[str, Any]]:
    """Variable and default of every setting."""
    for name, field in Settings.model_fields.items():
        if name != "limits":
            assert field.default is not PydanticUndefined
            yield f"ORCHESTRATOR_{name.upper()}", field.default
    for limit in dataclasses.fields(Limits):
        yield f"ORCHESTRATOR_LIMITS__{limit.name.upper()}", limit.default


def written(default: Any) -> str:
    """A default as the page writes it."""
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, float):
        return f"{default:g}"
    if default == {}:
        return "none"
    return {None: "not set", (): "none"}.get(default, str(default))


def test_every_setting_is_documented_with_its_default() -> None:
    tables = rows((REFERENCE / "settings.md").read_text())
    page = {bare(row[0]): bare(row[1]) for row in tables if len(row) == 4}
    assert page == {name: written(default) for name, default in fields()}


# --- errors -------------------------------------------------------------------------------


def raised() -> set[str]:
    """Every code that an error of ours is made with, and every reason an instance ends for."""
    classes = {
        name
        for module in (errors, devstack_errors)
        for name, value in vars(module).items()
        if inspect.isclass(value) and issubclass(value, errors.OrchestratorError)
    }
    found = {str(code) for code in [*Refusal, *CallRefusal, *Reason]}
    for path in (ROOT / "orchestrator").rglob("*.py"):
        found |= set(_codes(ast.parse(path.read_text()), classes))
    return found


def _codes(tree: ast.AST, classes: set[str]) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args and _makes_error(node.func, classes):
            first = node.args[0]
            if isinstance(first, ast.Constant) and re.fullmatch(r"[A-Z_]+", str(first.value)):
                yield str(first.value)


def _makes_error(function: ast.expr, classes: set[str]) -> bool:
    if isinstance(function, ast.Attribute):
        return function.attr == "__init__"
    return isinstance(function, ast.Name) and function.id in classes


def test_every_code_is_documented() -> None:
    tables = rows((REFERENCE / "errors.md").read_text())
    assert {bare(row[0]) for row in tables} == raised()


def test_classes_on_the_page_of_codes_are_exported() -> None:
    tables = rows((REFERENCE / "errors.md").read_text())
    cells = {bare(row[1]) for row in tables if len(row) > 2}
    named = {cell for cell in cells if re.fullmatch(r"[A-Z][a-zA-Z]+", cell)}
    assert named
    assert named <= {*orchestrator.__all__, *testing.__all__}


# --- command line -------------------------------------------------------------------------


def commands() -> dict[str, set[str]]:
    """Arguments and options of each command, as they are typed."""
    return {
        name: {word for param in command.params for word in _words(param)}
        for name, command in every_command()
    }


def _words(param: Any) -> list[str]:
    if param.param_type_name == "argument":
        return [param.metavar or param.name.upper()]
    return [*param.opts, *param.secondary_opts]


def test_every_command_is_documented_with_its_options() -> None:
    page = sections(REFERENCE / "cli.md", 3)
    found = {
        bare(title).removeprefix("orchestrator "): {
            word for row in rows(text) for word in bare(row[0]).split(", ")
        }
        for title, text in page.items()
        if title.startswith("`orchestrator ")
    }
    assert found == commands()


def test_exit_codes_are_documented() -> None:
    text = sections(REFERENCE / "cli.md", 2)["Exit codes"]
    page = {int(row[0]) for row in rows(text)}
    usage, interrupted = 2, 130  # typer's own
    assert page == {0, FAILED, usage, REFUSED, UNAVAILABLE, SILENT, interrupted}


# --- API ----------------------------------------------------------------------------------

API = REFERENCE / "api.md"


def described() -> dict[str, str]:
    """The section of each exported name that has one."""
    return {bare(title): text for title, text in sections(API, 2).items() if "`" in title}


def test_every_exported_name_is_documented_and_no_other() -> None:
    table = {bare(row[0]) for row in rows(sections(API, 2)["Errors"])}
    assert table | set(described()) == set(orchestrator.__all__)
    assert table & set(described()) == set()


def signatures() -> list[str]:
    """The signatures on the page."""
    found = [block for block in blocks(API) if block.language == "text"]
    return [line for block in found for line in block.text.splitlines()]


@pytest.mark.parametrize("line", signatures())
def test_signatures_are_those_of_the_code(line: str) -> None:
    name = line.partition("(")[0]
    owner, _, method = name.rpartition(".")
    value = getattr(orchestrator, owner or method)
    function = getattr(value, method) if owner else value
    assert line == name + _signature(function)


def _signature(function: Any) -> str:
    signature = inspect.signature(function)
    shown = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for name, parameter in signature.parameters.items()
        if name != "self"
    ]
    text = str(signature.replace(parameters=shown, return_annotation=inspect.Signature.empty))
    text = re.sub(r"<(Priority\.\w+): \d>", r"\1", text).replace("'", '"')
    return f"{text} -> {signature.return_annotation}"


@pytest.mark.parametrize("name", sorted(described()))
def test_everything_public_of_a_name_is_mentioned(name: str) -> None:
    text = described()[name]
    missing = [one for one in _public(getattr(orchestrator, name)) if not _mentions(text, one)]
    assert missing == []


def _mentions(text: str, word: str) -> bool:
    return re.search(rf"`[^`]*\b{word}\b[^`]*`|^\w+\.{word}\(", text, re.MULTILINE) is not None


def _public(value: Any) -> set[str]:
    if not inspect.isclass(value):
        return set()
    if issubclass(value, Settings):
        return {"load", "located"}  # its fields are on a page of their own
    if issubclass(value, Reason):
        return set()  # on a generated page
    ours = [one for one in value.__mro__ if one.__module__.startswith("orchestrator")]
    names = {name for one in ours for name in vars(one) if not name.startswith("_")}
    if issubclass(value, enum.StrEnum):
        names -= set(value.__members__)
        names |= {str(member) for member in value}
    if dataclasses.is_dataclass(value):
        names |= {field.name for field in dataclasses.fields(value)}
    return names


def test_fields_of_values_that_do_not_exist_are_not_documented() -> None:
    for name, text in described().items():
        value = getattr(orchestrator, name)
        if dataclasses.is_dataclass(value):
            known = {field.name for field in dataclasses.fields(value)}
            listed = {word for row in rows(text) for word in bare(row[0]).split(", ")}
            assert listed <= known, name


def test_the_example_of_the_readme_is_the_file() -> None:
    [example] = [one.text for one in blocks(ROOT / "README.md") if one.language == "python"]
    source = Path(ROOT / "examples" / "hello.py").read_text()
    docstring = ast.parse(source).body[0]
    assert example.strip() == "\n".join(source.splitlines()[docstring.end_lineno :]).strip()
