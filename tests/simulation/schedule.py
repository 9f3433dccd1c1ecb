"""Runs one schedule and says what was wrong in it."""

from __future__ import annotations

import logging
import random
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
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


class _Surprises(logging.Handler):
    """What the engine has logged with a traceback, and gone on: nobody expects that here."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[0] is not None:
            self.found.append(f"{record.getMessage()}: {record.exc_info[1]!r}")


@contextmanager
def _listening() -> Iterator[list[str]]:
    """What is logged with a traceback meanwhile; nothing else is told to anybody."""
    logger, surprises = logging.getLogger("orchestrator"), _Surprises()
    before = logger.level, logger.propagate
    logger.addHandler(surprises)
    logger.setLevel(logging.ERROR)
    logger.propagate = False
    try:
        yield surprises.found
    finally:
        logger.removeHandler(surprises)
        logger.level, logger.propagate = before


def play_of(seed: int) -> str:
    """Which play a seed is about."""
    return random.Random(f"{seed}:play").choice(sorted(PLAYS))


def run(ground: Ground, seed: int, given: Mapping[str, Decision] | None = None) -> Outcome:
    """Run the schedule of a seed, or, in the same play, one with these decisions."""
    name = play_of(seed)
    chooser = RandomChooser(seed) if given is None else Chooser(given)
    stage = Stage(ground, PLAYS[name], seed, chooser)
    rested = False
    with _listening() as broken, installed(stage.scheduler, ground.clock, seed):
        try:
            rested = stage.perform()
        except Exception as error:
            broken.append(repr(error))
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
