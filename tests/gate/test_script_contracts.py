"""Each script is what its header says, and what its caller believes."""

from __future__ import annotations

import re
from importlib.resources import files
from importlib.resources.abc import Traversable

import pytest

from orchestrator.admission.scripts import Library, Script, defined
from orchestrator.transport import envelope
from tests.gate.lua_globals import globals_of
from tests.gate.tour import TOUR
from tests.gate.traced import TracedGate

_LUA = files("orchestrator.admission").joinpath("lua")
#: What every server puts there for scripts, and nothing that only some do.
_GIVEN = {
    *("redis", "cjson", "cmsgpack", "KEYS", "ARGV", "math", "string", "table"),
    *("ipairs", "pairs", "tonumber", "tostring", "type", "unpack"),
}
#: Pieces that stand before all others: they decide, or hold what the others need.
_FIRST = {"freely", "now", "ready", "learn", "config"}


def _pages(folder: Traversable) -> dict[str, str]:
    pages = (page for page in folder.iterdir() if page.is_file())
    return {page.name.removesuffix(".lua"): page.read_text() for page in pages}


SCRIPTS = _pages(_LUA)
PIECES = _pages(_LUA.joinpath("lib")) | {"message": envelope.lua_function()}
LIBRARY = list(Library(envelope.lua_function()))

each_script = pytest.mark.parametrize("script", LIBRARY, ids=lambda script: script.name)
each_page = pytest.mark.parametrize("name", [*SCRIPTS, *PIECES])


def _code(text: str) -> str:
    return re.sub(r"--.*", "", text)


def _uses(text: str) -> list[str]:
    return " ".join(re.findall(r"^-- USES +(.*)$", text, re.MULTILINE)).split()


@each_script
def test_no_name_is_misspelt(script: Script) -> None:
    used = globals_of(script.source)
    assert used.read <= _GIVEN
    assert not used.written


def test_a_misspelt_name_would_be_found() -> None:
    used = globals_of("local function f() count = redis.cal(lenght) end return f")
    assert used.read == {"redis", "lenght"}
    assert used.written == {"count"}


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_header_says_what_a_script_does_takes_and_answers(name: str) -> None:
    head = SCRIPTS[name].split("\nlocal ")[0]
    assert head.startswith(f"-- {name}: ")
    assert re.search(r"^-- KEYS +gate$", head, re.MULTILINE)
    assert re.search(r"^-- REPLY +\S", head, re.MULTILINE)


@pytest.mark.parametrize("name", sorted({*PIECES} - {"message"}))
def test_a_header_says_what_a_piece_gives(name: str) -> None:
    described = set(re.findall(r"^-- (\w+): ", PIECES[name], re.MULTILINE))
    assert described
    assert described <= defined(PIECES[name]) | {name}


@each_page
def test_what_a_page_uses_exists_and_is_used(name: str) -> None:
    text = SCRIPTS.get(name) or PIECES[name]
    assert set(_uses(text)) <= set(PIECES)
    words = set(re.findall(r"\w+", _code(text)))
    idle = [
        piece for piece in _uses(text) if piece not in _FIRST and not defined(PIECES[piece]) & words
    ]
    assert not idle, f"{name} does not use {idle}"


def test_no_piece_is_left_over() -> None:
    used = {piece for text in (*SCRIPTS.values(), *PIECES.values()) for piece in _uses(text)}
    assert used == set(PIECES)


@each_script
def test_a_script_gives_nothing_the_name_of_a_function_that_it_uses(script: Script) -> None:
    # The function may stand after the script's own variable, and would take its place.
    own = defined(SCRIPTS[script.name]) | {one.removesuffix("...") for one in script.arguments}
    used, names = _uses(SCRIPTS[script.name]), set[str]()
    while used:
        piece = PIECES[used.pop()]
        names |= defined(piece)
        used += _uses(piece)
    assert not own & names


@each_script
def test_arguments_come_in_by_name_only(script: Script) -> None:
    own = _code(SCRIPTS[script.name])
    assert "ARGV" not in own
    assert "KEYS" not in own


@each_script
def test_every_script_has_a_caller_that_knows_its_header(script: Script, gate: TracedGate) -> None:
    # A caller with other names than the header's raises KeyError.
    gate.take_calls()
    TOUR[script.name](gate)
    assert script.name in {call.name for call in gate.take_calls()}


@pytest.mark.parametrize("name", TOUR)
def test_a_server_that_forgot_the_scripts_learns_them_again(name: str, gate: TracedGate) -> None:
    gate.redis.script_flush()
    TOUR[name](gate)
