"""Runs schedules, or one again.

    python -m tests.simulation --schedules 2000 [--seed 1] [--processes 2]
    python -m tests.simulation --seed 4711 --replay [--whole]

A replay tells the schedule of a seed, made as small as it still fails. Exits with 1 when a rule
was violated.
"""

from __future__ import annotations

import argparse
import secrets
import sys
from collections.abc import Sequence

from tests.simulation.campaign import play_all
from tests.simulation.chooser import Decisions
from tests.simulation.ground import ground
from tests.simulation.schedule import run
from tests.simulation.shrink import shrink
from tests.simulation.story import tell


def main(words: Sequence[str]) -> int:
    """Do what the words say; answers the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--schedules", type=int, default=500)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--replay", action="store_true", help="tell the schedule of this seed")
    parser.add_argument("--whole", action="store_true", help="of a replay, every point")
    asked = parser.parse_args(words)
    seed = secrets.randbelow(10**9) if asked.seed is None else asked.seed
    if asked.replay:
        return replay(seed, whole=asked.whole)
    report(f"seeds {seed} to {seed + asked.schedules - 1}")
    tally = play_all(range(seed, seed + asked.schedules), asked.processes)
    for line in tally.lines():
        report(line)
    return int(bool(tally.failed))


def replay(seed: int, *, whole: bool) -> int:
    """Run one schedule again, and then ever smaller ones that fail in the same way."""
    with ground() as where:
        outcome = run(where, seed)
        rules = {one.rule for one in outcome.verdict.violations}

        def fails(decisions: Decisions) -> bool:
            found = run(where, seed, decisions).verdict.violations
            return any(one.rule in rules for one in found)

        if rules and fails(outcome.decisions):
            outcome = run(where, seed, shrink(outcome.decisions, fails))
    for line in tell(outcome, all_of_it=whole):
        report(line)
    return int(bool(rules))


def report(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)  # noqa: T201  # a program that prints


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
