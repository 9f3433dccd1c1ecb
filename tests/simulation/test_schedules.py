"""Danger: things happen in an order that nobody thought of. Seeds choose the orders."""

from __future__ import annotations

import secrets

import pytest

from tests.simulation.campaign import play
from tests.simulation.chooser import FAULTS, Decision, RandomChooser
from tests.simulation.ground import Ground
from tests.simulation.plays import PLAYS
from tests.simulation.schedule import Outcome, run
from tests.simulation.shrink import shrink
from tests.simulation.story import tell

pytestmark = pytest.mark.timeout(600)

#: How many schedules one run of the tests tries.
SCHEDULES = 50


def test_no_order_of_events_breaks_a_rule(stand: Ground) -> None:
    """R1 to R10, on schedules that nobody has seen before."""
    seed = secrets.randbelow(10**9)
    tally = play(stand, range(seed, seed + SCHEDULES))
    assert not tally.failed, "\n".join(tally.lines())
    assert len(tally.plays) > len(PLAYS) / 2
    assert all(tally.checks[rule] for rule in ("R1", "R2", "R3", "R4", "R5", "R7", "R8", "R10"))


def test_a_seed_is_one_schedule(stand: Ground) -> None:
    """The same points, in the same order, with the same in the end."""
    seeds = range(40, 48)
    before = [_told(run(stand, seed)) for seed in seeds]
    again = [_told(run(stand, seed)) for seed in seeds]
    for one, other in zip(before, again, strict=True):
        assert one == other


def test_the_decisions_of_a_schedule_are_all_there_is_to_it(stand: Ground) -> None:
    """Given to a chooser that draws nothing, they make the same schedule."""
    for seed in range(60, 68):
        drawn = run(stand, seed)
        assert _told(run(stand, seed, drawn.decisions)) == _told(drawn)


def test_every_kind_of_fault_comes_up() -> None:
    """Each seed leaves some out, and none is left out by all."""
    for phase, kinds in FAULTS.items():
        choosers = [RandomChooser(seed) for seed in range(300)]
        decisions = {
            found.kind
            for chooser in choosers
            for point in range(50)
            if (found := chooser.at("actor", point, phase, "label", list))
        }
        assert decisions == set(kinds)


def test_a_failing_schedule_is_made_small() -> None:
    """Two of fifty decisions matter: those are what is left."""
    many = {f"actor/{number}/before": Decision("crash") for number in range(50)}
    needed = {"actor/7/before", "actor/33/before"}
    small = shrink(many, lambda decisions: needed <= set(decisions))
    assert set(small) == needed


def _told(outcome: Outcome) -> list[str]:
    return list(tell(outcome, all_of_it=True))
