"""The script loader: header and call agree, each piece comes once and after what it uses."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from orchestrator.admission import scripts
from orchestrator.admission.keys import KEYS, key, lua_table, queue_name
from orchestrator.admission.scripts import Library, Script

MESSAGE = "local function message() end"


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Library:
    """Verbs over pieces, of which one is used by both others."""
    (tmp_path / "lib").mkdir()
    pages = {
        "verb.lua": (
            "-- verb: does it.\n--\n-- KEYS    gate\n-- ARGV    id pairs...\n"
            "-- REPLY   more\n-- USES    upper lower message\n"
            "if id == '' then return base end\nreturn {message, lower, upper}"
        ),
        "bare.lua": "-- bare: takes nothing.\n-- KEYS    gate\n-- REPLY   nothing\nreturn ''",
        "timed.lua": "-- timed: tells the time.\n-- USES    now\nreturn now",
        "lib/now.lua": "local now = 'real'",
        "lib/upper.lua": "-- USES base\nlocal upper = base",
        "lib/lower.lua": "-- USES base\nlocal lower = base",
        "lib/base.lua": "local base = 1\nlocal function idle() end",
    }
    for name, text in pages.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(scripts, "_LUA", tmp_path)
    return Library(MESSAGE)


def test_there_is_one_script_for_each_file(library: Library) -> None:
    assert [script.name for script in library] == ["bare", "timed", "verb"]


def test_each_function_stands_once_and_before_what_needs_it(library: Library) -> None:
    source = library.load("verb").source
    marks = [lua_table(), "local id", "local base", "if id", "local upper", "local lower", MESSAGE]
    marks.append("return {")
    assert [source.count(mark) for mark in marks] == [1] * 8
    assert sorted(marks, key=source.index) == marks


def test_a_function_that_nobody_needs_is_left_out(library: Library) -> None:
    assert "local idle" not in library.load("verb").source


def test_the_header_names_the_arguments(library: Library) -> None:
    script = library.load("verb")
    assert script.arguments == ("id", "pairs...")
    assert "local id = ARGV[1]" in script.source
    assert "for i = 2, #ARGV do pairs[#pairs + 1] = ARGV[i] end" in script.source


def test_values_are_brought_into_the_order_of_the_header(library: Library) -> None:
    script = library.load("verb")
    assert script.bind({"pairs": [1, 2], "id": "x"}) == ["x", 1, 2]
    assert script.bind({"pairs": [], "id": "x"}) == ["x"]
    assert library.load("bare").bind({}) == []


@pytest.mark.parametrize(
    "values",
    [{}, {"id": 1}, {"id": 1, "other": []}, {"id": 1, "pairs": [], "more": 2}, {"pairs": []}],
    ids=str,
)
def test_a_call_that_differs_from_the_header_is_an_error(
    library: Library, values: dict[str, object]
) -> None:
    with pytest.raises(KeyError):
        library.load("verb").bind(values)


def test_a_script_is_called_by_the_hash_of_its_source(library: Library) -> None:
    script = library.load("verb")
    digest = hashlib.sha1(script.source.encode(), usedforsecurity=False).hexdigest()
    assert script.sha == digest


def test_the_clock_can_be_replaced(library: Library) -> None:
    assert "'real'" in library.load("timed").source
    assert "'real'" not in Library(MESSAGE, "local now = 1").load("timed").source


def test_all_keys_of_a_gate_carry_its_hash_tag() -> None:
    for name in KEYS:
        assert key("mine", name, "x").startswith("{mine}")
    assert queue_name("mine", "gpu") == "{mine}.gpu"


def test_no_key_can_be_taken_for_another() -> None:
    """Keys that take a suffix end so that no suffix makes them another key."""
    assert len(set(KEYS.values())) == len(KEYS)
    open_ended = [text for text in KEYS.values() if text.endswith((":", "."))]
    for text in open_ended:
        assert [other for other in KEYS.values() if other.startswith(text)] == [text]


def test_for_a_gate_the_keys_are_spelled_out() -> None:
    source = "\n".join([lua_table(), "return {key.leases, key.flow .. 'x'}"])
    script = Script("verb", source, ()).on("mine")
    assert script.source.strip() == "return {'{mine}:leases', '{mine}:flow:' .. 'x'}"


def test_where_a_key_is_looked_up_by_a_name_the_table_is_there() -> None:
    source = "\n".join([lua_table(), "return key[ARGV[1]]"])
    script = Script("verb", source, ()).on("mine")
    assert "leases = '{mine}:leases'" in script.source
    assert "KEYS[1]" not in script.source
