"""Danger: a page tells a reader to type a command that does not exist."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.commands import every_command
from tests.docs.pages import ROOT, code, name_of, pages

_COMMAND = re.compile(r"(?<![\w./{-])(?<!from )(?:\.venv/bin/)?orchestrator ([a-z]+)\b([^|;)]*)")
_COMPOSE = re.compile(r"docker compose run --rm worker ([a-z]+)\b(.*)")
_MAKE = re.compile(r"^make ([a-z]+)\b")
_OPTION = re.compile(r"(?<!\S)--?[a-z][a-z-]*")


def options() -> dict[str, set[str]]:
    """The options of each command."""
    found: dict[str, set[str]] = {}
    for name, command in every_command():
        own = ((*param.opts, *param.secondary_opts) for param in command.params)
        # Of a command and those below it: the page is read by the first word.
        found.setdefault(name.partition(" ")[0], {"-h", "--help"}).update(*own)
    return found


def typed(page: Path) -> Iterator[tuple[str, str]]:
    """Every command of ours on a page, with the rest of its line."""
    for text in code(page):
        for pattern in (_COMMAND, _COMPOSE):
            yield from pattern.findall(text)


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_commands_and_their_options_exist(page: Path) -> None:
    known = options()
    for name, rest in typed(page):
        assert name in known, f"orchestrator {name}"
        used = set(_OPTION.findall(re.sub(r"'[^']*'", "", rest)))
        assert used <= known[name], f"orchestrator {name}{rest}"


def test_the_check_finds_something() -> None:
    found = {name for page in pages() for name, _ in typed(page)}
    assert set(options()) - found == set()


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_make_targets_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    asked = {found[1] for text in code(page) if (found := _MAKE.match(text))}
    assert asked <= targets
