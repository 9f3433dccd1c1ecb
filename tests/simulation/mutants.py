"""Is the simulator any good? Seeded mistakes, each of which some schedule must show.

    python -m tests.simulation.mutants [--schedules 400] [WORD...]   only those with a word in it

Prints by which rule each was found, and after how many schedules. Exits with 1 when one survived.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

from tests.simulation.__main__ import report
from tests.simulation.ground import Ground, ground
from tests.simulation.mutations import MUTANTS, Mutant
from tests.simulation.schedule import run

#: Where seeds begin: the same for each, so that a table can be made again.
FIRST = 1
_PROCESSES = 2


@dataclass(frozen=True)
class Trial:
    """What became of a mutant."""

    name: str
    #: schedules until it was found, that one included; 0 when it was not
    schedules: int
    seed: int = 0
    #: the rules that did not hold in it
    rules: tuple[str, ...] = ()
    what: str = ""


def attempt(where: Ground, mutant: Mutant, most: int) -> Trial:
    """Try schedules until one shows the mistake."""
    with mutant.applied(where):
        for count, seed in enumerate(range(FIRST, FIRST + most), start=1):
            violations = run(where, seed).verdict.violations
            if violations:
                rules = tuple(sorted({one.rule for one in violations}))
                return Trial(mutant.name, count, seed, rules, str(violations[0]))
    return Trial(mutant.name, 0)


def _attempt_all(names: Sequence[str], most: int) -> list[Trial]:
    trials = []
    with ground() as where:
        for mutant in MUTANTS:
            if mutant.name in names:
                trials.append(attempt(where, mutant, most))
                tell(trials[-1])
    return trials


def tell(trial: Trial) -> None:
    """Print what became of a mutant."""
    fate = f"{trial.schedules:4} schedules" if trial.schedules else "SURVIVED      "
    report(f"{fate}  {' '.join(trial.rules):24} {trial.name}")
    if trial.schedules:
        report(f"{'':16}{trial.what[:150]}")


def main(words: Sequence[str]) -> int:
    """Try all; answers the number of survivors."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.mutants")
    parser.add_argument("--schedules", type=int, default=400)
    parser.add_argument("words", nargs="*")
    asked = parser.parse_args(words)
    names = [
        one.name
        for one in MUTANTS
        if not asked.words or any(word in one.name for word in asked.words)
    ]
    shares = [names[start::_PROCESSES] for start in range(_PROCESSES)]
    with ProcessPoolExecutor(_PROCESSES, get_context("spawn")) as pool:
        found = pool.map(_attempt_all, shares, [asked.schedules] * _PROCESSES)
        trials = [trial for share in found for trial in share]
    survivors = [trial for trial in trials if not trial.schedules]
    report(f"{len(trials) - len(survivors)} of {len(trials)} mutants found")
    return len(survivors)


if __name__ == "__main__":
    sys.exit(bool(main(sys.argv[1:])))
