"""House rules that no linter knows: headers, docstrings, reasons, sizes, and no sleeping."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.sources import (
    ALL,
    PACKAGES,
    ROOT,
    calls,
    comments,
    inside,
    name_of,
    python_files,
    tree_of,
)

each_file = pytest.mark.parametrize("path", python_files(*ALL), ids=name_of)
each_module = pytest.mark.parametrize("path", python_files(*PACKAGES), ids=name_of)

MOST_LINES = 400
#: Written by hand for people to read from top to bottom; each is one table or one model.
LONGER = ("tests/support/gate_model.py", "tests/gate/machine.py")


@each_file
def test_a_module_says_what_it_is(path: Path) -> None:
    if path.read_text().strip():
        assert ast.get_docstring(tree_of(path))


@each_module
def test_everything_that_others_use_is_explained(path: Path) -> None:
    unexplained = [
        node.name
        for node in _public(tree_of(path))
        if not ast.get_docstring(node) and not _overrides(node)
    ]
    assert unexplained == []


Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def _public(node: ast.Module | ast.ClassDef) -> Iterator[Definition]:
    for inner in node.body:
        if isinstance(inner, Definition) and not inner.name.startswith("_"):
            yield inner
            if isinstance(inner, ast.ClassDef):
                yield from _public(inner)


def _overrides(node: Definition) -> bool:
    """Explained elsewhere: at the first declaration, at the first of several signatures."""
    decorators = {ast.unparse(one) for one in node.decorator_list}
    return "overload" in decorators or node.name in {"upgrade", "downgrade", "to_dict"}


@each_file
def test_a_file_fits_a_head(path: Path) -> None:
    if not inside(path, *LONGER):
        assert len(path.read_text().splitlines()) <= MOST_LINES


PAGES = sorted(path for kind in ("lua", "sql") for path in (ROOT / PACKAGES[0]).rglob(f"*.{kind}"))


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_a_page_of_lua_or_sql_fits_a_head_too(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 150


_SILENCED = re.compile(
    r"#\s*(type:\s*ignore|noqa)\b(\[[^\]]+\]|: ?[A-Z]+\d+(?:, ?[A-Z]+\d+)*)?(.*)"
)


@each_file
def test_every_silenced_rule_has_its_name_and_a_reason(path: Path) -> None:
    for line, comment in comments(path):
        found = _SILENCED.search(comment)
        if found:
            assert found[2], f"line {line} silences every rule"
            assert re.match(r"\s+# \w.{5,}", found[3]), f"line {line} gives no reason"


def test_every_rule_that_is_off_for_all_has_a_reason() -> None:
    lines = (ROOT / "pyproject.toml").read_text().splitlines()
    start = lines.index("ignore = [")
    for line in lines[start + 1 : lines.index("]", start)]:
        assert re.search(r'"[A-Z]+\d+",\s+# \w+', line), line


#: Waiting for a fact is a loop with a pause; agents of tests work for a while.
MAY_SLEEP = ("tests/support/waiting.py", "tests/support/agents.py")


@pytest.mark.parametrize("path", python_files("tests"), ids=name_of)
def test_no_test_sleeps(path: Path) -> None:
    if not inside(path, *MAY_SLEEP):
        assert [found for found in calls(path) if found[1].endswith("sleep")] == []


@pytest.mark.parametrize("path", python_files("tests"), ids=name_of)
def test_no_test_is_skipped(path: Path) -> None:
    marks = re.compile(r"pytest\.(mark\.)?(skip|skipif|xfail|importorskip)\b")
    assert [line for line, name in calls(path) if marks.match(name)] == []


def test_the_lock_file_names_no_address_and_pins_by_hash() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    assert "://" not in lock
    assert "--index-url" not in lock
    assert " @ " not in lock
    packages = re.split(r"\n(?=\w)", lock)
    assert len(packages) > 20
    for package in packages:
        assert re.match(r"[\w.-]+(\[[\w,]+\])?==\S+", package), package[:80]
        assert "--hash=sha256:" in package, package[:80]


def test_what_is_needed_is_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = [*project["dependencies"]]
    for extra in project["optional-dependencies"].values():
        needed += extra
    locked = {
        _plain(line.partition("==")[0])
        for line in (ROOT / "requirements.lock").read_text().splitlines()
        if "==" in line
    }
    assert {_plain(re.split(r"[\[<>=]", one)[0]) for one in needed} <= locked


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.partition("[")[0]).lower()


LUA = ROOT / "orchestrator/admission/lua"


@pytest.mark.parametrize("path", sorted(LUA.glob("*.lua")), ids=name_of)
def test_a_verbs_header_is_its_contract(path: Path) -> None:
    header = re.match(r"(--.*\n)+", path.read_text())
    assert header
    assert header[0].startswith(f"-- {path.stem}: ")
    assert re.search(r"^-- KEYS    gate$", header[0], re.M)
    assert re.search(r"^-- REPLY   \S", header[0], re.M)
    if "ARGV" in re.sub(r"--.*", "", path.read_text()):
        raise AssertionError("arguments are bound to names by the header")


@pytest.mark.parametrize("path", sorted(LUA.glob("lib/*.lua")), ids=name_of)
def test_a_piece_says_what_it_gives(path: Path) -> None:
    """Its name, or those of the functions in it, with a sentence each."""
    header = re.match(r"(--.*\n)+", path.read_text())
    assert header
    functions = re.findall(r"^local function (\w+)", path.read_text(), re.M)
    named = re.findall(r"^-- (\w+): ", header[0], re.M)
    assert named
    assert set(named) <= {path.stem, *functions}


@pytest.mark.parametrize("path", sorted(LUA.rglob("*.lua")), ids=name_of)
def test_lua_sets_no_globals(path: Path) -> None:
    """A script's global would be everybody's; the server refuses it, at some later time."""
    code = re.sub(r"--.*", "", path.read_text())
    assert re.findall(r"^function ", code, re.M) == []
    assigned = set(re.findall(r"^(\w+) = ", code, re.M))
    header = re.search(r"-- ARGV +(.*)", path.read_text())
    arguments = set(header[1].split()) if header else set()
    local = set(re.findall(r"\blocal (?:function )?([\w, ]+)", code))
    known = {name.strip() for group in local for name in group.split(",")}
    assert assigned <= arguments | known
