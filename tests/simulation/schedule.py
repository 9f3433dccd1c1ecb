"""Runs one schedule and says what was wrong in it."""

from __future__ import annotations

import logging
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from tests.rules.judge import Verdict
from tests.simulation.checks import check
from tests.simulation.chooser import Chooser, Decision, Decisions, RandomChooser
from tests.simulation.ground import Ground
from tests.simulation.plays import PLAYS
from tests.simulation.scheduler import Moment
from tests.simulation.stage import Stage
from tests.simulation.stand_ins import installed


@dataclass(frozen=True)
class Outcome:
    """What became of a schedule."""

    seed: int
    play: str
    decisions: Decisions
    verdict: Verdict
    faults: Counter[str]
    points: int
    #: seconds that passed in it
    seconds: float
    story: list[Moment]


def play_of(seed: int) -> str:
    """Which play a seed is about."""
    return random.Random(f"{seed}:play").choice(sorted(PLAYS))


def run(ground: Ground, seed: int, given: Mapping[str, Decision] | None = None) -> Outcome:
    """Run the schedule of a seed, or, in the same play, one with these decisions."""
    name = play_of(seed)
    chooser = RandomChooser(seed) if given is None else Chooser(given)
    logging.getLogger("orchestrator").setLevel(logging.CRITICAL + 1)
    stage = Stage(ground, PLAYS[name], seed, chooser)
    with installed(stage.scheduler, ground.clock, seed):
        rested, broken = False, None
        try:
            rested = stage.perform()
        except Exception as error:
            broken = error
    return Outcome(
        seed=seed,
        play=name,
        decisions=chooser.taken,
        verdict=check(stage, rested, broken),
        faults=Counter(one.kind for one in chooser.taken.values() if one.kind != "switch"),
        points=stage.scheduler.points,
        seconds=ground.clock.seconds,
        story=stage.scheduler.story,
    )
