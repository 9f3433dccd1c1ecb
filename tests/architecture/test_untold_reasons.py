"""House rules that no linter knows: headers, docstrings, reasons, sizes, and no sleeping."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator

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

FILES = python_files(*ALL)
TESTS = python_files("tests")
LUA = ROOT / "orchestrator/admission/lua"

MOST_LINES = 400
#: One model or one table each, which people read from top to bottom.
LONGER = (
    "tests/support/gate_model.py",
    "tests/support/call_model.py",
    "tests/support/wait_model.py",
    "tests/gate/machine.py",
    "tests/gate/wait_machine.py",
)


def test_a_module_says_what_it_is() -> None:
    silent = [
        name_of(path)
        for path in FILES
        if path.read_text().strip() and not ast.get_docstring(tree_of(path))
    ]
    assert silent == []


def test_what_others_use_is_explained() -> None:
    unexplained = [
        f"{name_of(path)}: {node.name}"
        for path in python_files(*PACKAGES)
        for node in _public(tree_of(path))
        if not ast.get_docstring(node) and not _explained_elsewhere(node)
    ]
    assert unexplained == []


Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def _public(node: ast.Module | ast.ClassDef) -> Iterator[Definition]:
    for inner in node.body:
        if isinstance(inner, Definition) and not inner.name.startswith("_"):
            yield inner
            if isinstance(inner, ast.ClassDef):
                yield from _public(inner)


def _explained_elsewhere(node: Definition) -> bool:
    """At the first declaration, or at the last of several signatures."""
    decorators = {ast.unparse(one) for one in node.decorator_list}
    return "overload" in decorators or node.name in {"upgrade", "downgrade", "to_dict"}


def test_a_file_fits_a_head() -> None:
    long = {
        name_of(path): lines
        for path in FILES
        if (lines := len(path.read_text().splitlines())) > MOST_LINES and not inside(path, *LONGER)
    }
    pages = [path for kind in ("lua", "sql") for path in (ROOT / PACKAGES[0]).rglob(f"*.{kind}")]
    long |= {
        name_of(path): lines
        for path in pages
        if (lines := len(path.read_text().splitlines())) > 150
    }
    assert long == {}


_SILENCED = re.compile(
    r"#\s*(type:\s*ignore|noqa)\b(\[[^\]]+\]|: ?[A-Z]+\d+(?:, ?[A-Z]+\d+)*)?(.*)"
)


def test_every_silenced_rule_has_its_name_and_a_reason() -> None:
    found = [
        (f"{name_of(path)}:{line}", silenced[2], silenced[3])
        for path in FILES
        for line, comment in comments(path)
        if (silenced := _SILENCED.search(comment))
    ]
    assert found
    assert [place for place, rule, _ in found if not rule] == []
    assert [place for place, _, why in found if not re.match(r"\s+# \w.{5,}", why)] == []


def test_every_rule_that_is_off_for_all_has_a_reason() -> None:
    lines = (ROOT / "pyproject.toml").read_text().splitlines()
    start = lines.index("ignore = [")
    for line in lines[start + 1 : lines.index("]", start)]:
        assert re.search(r'"[A-Z]+\d+",\s+# \w+', line), line


#: Waiting for a fact is a loop with a pause; agents of tests work for a while; delay is what a
#: slow network is made of.
MAY_SLEEP = ("tests/support/waiting.py", "tests/support/agents.py", "tests/support/proxy.py")


def test_no_test_sleeps() -> None:
    sleeping = [
        f"{name_of(path)}:{line}"
        for path in TESTS
        for line, name in calls(path)
        if name in ("sleep", "time.sleep", "asyncio.sleep") and not inside(path, *MAY_SLEEP)
    ]
    assert sleeping == []


def test_no_test_is_skipped() -> None:
    marks = re.compile(r"pytest\.(mark\.)?(skip|skipif|xfail|importorskip)\b")
    skipped = [
        f"{name_of(path)}:{line}"
        for path in TESTS
        for line, name in calls(path)
        if marks.match(name)
    ]
    assert skipped == []


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
    lock = (ROOT / "requirements.lock").read_text().splitlines()
    locked = {_plain(line.partition("==")[0]) for line in lock if "==" in line}
    assert {_plain(re.split(r"[\[<>=]", one)[0]) for one in needed} <= locked


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.partition("[")[0]).lower()


def _header(text: str) -> str:
    found = re.match(r"(--.*\n)+", text)
    return found[0] if found else ""


def test_a_verbs_header_is_its_contract() -> None:
    for path in LUA.glob("*.lua"):
        header = _header(path.read_text())
        assert header.startswith(f"-- {path.stem}: "), name_of(path)
        assert re.search(r"^-- KEYS    gate$", header, re.MULTILINE), name_of(path)
        assert re.search(r"^-- REPLY   \S", header, re.MULTILINE), name_of(path)
        code = re.sub(r"--.*", "", path.read_text())
        assert "ARGV" not in code, f"{name_of(path)}: the header binds arguments to names"


def test_a_piece_says_what_it_gives() -> None:
    """Its name, or those of the functions in it, with a sentence each."""
    for path in LUA.glob("lib/*.lua"):
        functions = re.findall(r"^local function (\w+)", path.read_text(), re.MULTILINE)
        named = re.findall(r"^-- (\w+): ", _header(path.read_text()), re.MULTILINE)
        assert named, name_of(path)
        assert set(named) <= {path.stem, *functions}, name_of(path)


def test_lua_sets_no_globals() -> None:
    """A script's global would be everybody's; the server refuses it, at some later time."""
    for path in LUA.rglob("*.lua"):
        code = re.sub(r"--.*", "", path.read_text())
        assert re.findall(r"^function ", code, re.MULTILINE) == [], name_of(path)
        header = re.search(r"-- ARGV +(.*)", path.read_text())
        arguments = header[1].split() if header else []
        local = re.findall(r"\blocal (?:function )?([\w, ]+)", code)
        known = {name.strip() for group in local for name in group.split(",")}
        assigned = set(re.findall(r"^(\w+) = ", code, re.MULTILINE))
        assert assigned <= known.union(arguments), name_of(path)
