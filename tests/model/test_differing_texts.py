"""Danger: the model that is searched is not the one that is written down."""

from __future__ import annotations

import inspect
import re

from tests.docs.pages import DOCS
from tests.model import actions, faults, repairs
from tests.model.faults import CHOICES, FAULTS, PROGRESS, REPAIRS
from tests.model.state import Gate, State, Worker

TEXT = (DOCS / "model" / "Orchestrator.tla").read_text()
CONFIG = (DOCS / "model" / "Orchestrator.cfg").read_text()
_COMMENT = re.compile(r"\(\*.*?\*\)|\\\*[^\n]*", re.DOTALL)
CODE = _COMMENT.sub("", TEXT)


def definition(name: str) -> str:
    """The text of one definition, up to the next one or a rule across the page."""
    found = re.search(rf"^{name}\b[^\n]*==(.*?)(?=^\S|\Z)", CODE, re.MULTILINE | re.DOTALL)
    assert found is not None, name
    return found[1]


def fields(record: str) -> tuple[str, ...]:
    """The fields of a record; what has an `i` for each instance is the value of one."""
    text = definition(record).replace("Instances |->", "Instances :")
    return tuple(re.findall(r"(\w+) \|->", text))


def words(text: str) -> set[str]:
    return set(re.findall(r"\b[A-Z]\w+", text)) - {"Workers", "Instances"}


def test_the_actions_are_the_same_in_the_same_groups() -> None:
    assert words(definition("Own")) == set(PROGRESS)
    assert words(definition("Repairs")) == set(REPAIRS)
    assert words(definition("Choices")) == set(CHOICES)
    assert words(definition("Faults")) == set(FAULTS)
    assert words(definition("Next")) == {"Own", "Repairs", "Choices", "Faults"}


def test_the_variables_are_the_same() -> None:
    declared = CODE.partition("VARIABLES")[2].partition("vars ==")[0]
    assert tuple(re.findall(r"\w+", declared)) == State._fields
    assert fields("Empty") == Gate._fields
    assert fields("Idle") == Worker._fields


def test_workers_go_on_from_the_same_places() -> None:
    python = "".join(inspect.getsource(one) for one in (actions, faults, repairs))
    here = set(re.findall(r'who_is\(s, "(\w+)"', python)) - {"early"}
    assert set(re.findall(r'At\(w, "(\w+)"\)', CODE)) - {"idle"} == here


def test_what_is_checked_there_is_defined_there() -> None:
    checked = re.findall(r"^(?:INVARIANTS|PROPERTIES) (.*)$", CONFIG, re.MULTILINE)
    for name in " ".join(checked).split():
        assert definition(name).strip()


def test_every_bracket_is_closed() -> None:
    for opening, closing in ("()", "[]", "{}"):
        assert CODE.count(opening) == CODE.count(closing)
    assert CODE.count("<<") == CODE.count(">>")


def test_no_definition_uses_what_is_not_defined() -> None:
    used = set(re.findall(r"\b[A-Z]\w*[a-z]\w*\b", re.sub(r'"[^"]*"', "", CODE)))
    defined = set(re.findall(r"^\s*(\w+)(?:\([^)]*\))? ==", CODE, re.MULTILINE))
    given = {"Integers", "FiniteSets", "Sequences", "Orchestrator", "Cardinality", "WF_vars"}
    assert used - defined - given <= {"Workers", "Slots", "MaxFaults"}
