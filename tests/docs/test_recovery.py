"""The table of faults names tests that there are."""

from __future__ import annotations

import re

import pytest

from tests.docs.pages import DOCS, ROOT, rows

PAGE = DOCS / "explanation" / "recovery.md"
NAMED = [row[-1].strip("`") for row in rows(PAGE.read_text()) if "::" in row[-1]]


def test_every_fault_has_one() -> None:
    assert len(NAMED) >= 16


@pytest.mark.parametrize("named", NAMED)
def test_it_is_there(named: str) -> None:
    path, _, name = named.partition("::")
    assert re.search(rf"^\s*def {name}\(", (ROOT / path).read_text(), re.MULTILINE), named
