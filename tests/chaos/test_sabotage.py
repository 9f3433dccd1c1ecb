"""Danger: a mistake that the suite is tried with is not made any more, as the code has changed."""

from __future__ import annotations

import pytest

from tests.chaos.sabotage import SABOTAGES, Change
from tests.support.processes import ROOT

CHANGES = [change for changes in SABOTAGES.values() for change in changes]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.file)
def test_it_can_be_made(change: Change) -> None:
    assert (ROOT / change.file).read_text().count(change.before) == 1
