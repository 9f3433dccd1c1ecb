"""R1-R6 and R10 in every state that the model can come to: one slot, two workers, faults."""

from __future__ import annotations

import functools

import pytest

from tests.docs.pages import DOCS, rows, sections
from tests.model.explorer import Explorer, Found
from tests.model.faults import CHOICES, FAULTS, PROGRESS, REPAIRS, Model
from tests.model.mistakes import MISTAKES

#: How many faults, and whether somebody cancels.
SEARCHES = [(0, True), (1, True), (2, False)]
#: What R5 makes impossible.
NEVER = {"Reap"}
PAGE = DOCS / "explanation" / "model.md"


@functools.cache
def search(faults: int, *, cancels: bool = True, broken: str = "") -> Found:
    return Explorer(Model(faults, broken, cancels=cancels)).run()


@pytest.mark.parametrize(("faults", "cancels"), SEARCHES)
def test_nothing_is_wrong_and_the_page_says_how_much_was_looked_at(
    faults: int, cancels: bool
) -> None:
    found = search(faults, cancels=cancels)
    assert (found.violation, found.trace) == ("", [])
    told = [str(faults), "yes" if cancels else "no", f"{found.states:,}", f"{found.steps:,}"]
    table = rows(sections(PAGE, 2)["What was searched"])
    assert told in [row[:4] for row in table]


def test_every_action_can_happen_but_for_the_one_that_must_not() -> None:
    known = {*PROGRESS, *REPAIRS, *CHOICES, *FAULTS}
    possible = {name for one in SEARCHES for name in search(one[0], cancels=one[1]).actions}
    assert possible == known - NEVER


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_found_and_its_way_is_told(name: str) -> None:
    found = search(1, broken=name)
    assert found.violation.startswith(MISTAKES[name][1])
    assert found.trace[0].startswith("Init")
    assert len(found.trace) > 2
