"""Danger: a simulator that finds nothing. It must show mistakes that are made on purpose."""

from __future__ import annotations

import pytest

from tests.simulation.ground import Ground
from tests.simulation.mutants import attempt
from tests.simulation.mutations import MUTANTS, Mutant

pytestmark = pytest.mark.timeout(600)

#: Those that are found soonest; `python -m tests.simulation.mutants` tries all.
TRIED = (
    "a slot is kept by who has ended",
    "nobody is woken by an end",
    "what goes back in line gets no new attempt",
    "an end frees no slot",
    "a spawn is not followed",
)


@pytest.mark.parametrize("name", TRIED)
def test_a_mistake_is_found(stand: Ground, name: str) -> None:
    [mutant] = [one for one in MUTANTS if one.name == name]
    assert attempt(stand, mutant, 150).rules


def test_every_mistake_can_be_made_and_taken_back(stand: Ground) -> None:
    """Twice: what is left of one would be in the way of itself."""
    for mutant in MUTANTS * 2:
        _make(stand, mutant)


def _make(stand: Ground, mutant: Mutant) -> None:
    with mutant.applied(stand):
        pass
