"""`python -m tests.chaos`: everything breaks, and the rules hold.

python -m tests.chaos --minutes 5
python -m tests.chaos --instances 10000 --faults 200 --seed 7
python -m tests.chaos --plan chaos-7/plan --seed 7
"""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path

from orchestrator.devstack import scratch_folder
from tests.chaos import plan
from tests.chaos.report import keep, summary
from tests.chaos.run import Wanted, run, say
from tests.rules.judge import told


def main() -> int:
    """Run it; answers the exit code."""
    options = _options()
    seed = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    is_long = options.minutes is None
    wanted = Wanted(
        seed,
        seconds=0.0 if is_long else options.minutes * 60,
        instances=options.instances if is_long else 0,
        faults=options.faults if is_long else 0,
        plan=plan.load(options.plan) if options.plan else (),
        peace=options.peace,
    )
    say(f"Chaos with seed {seed}")
    with scratch_folder() as folder:
        found = run(folder, wanted)
        text = summary(found)
        say(text)
        if options.result:
            options.result.write_text(text)
        if not found.verdict.violations:
            return 0
        say(told(found.verdict.violations))
        kept = Path(f"chaos-{seed}").resolve()
        again = keep(found, folder, kept)
        say(f"Everything about it is in {kept}. Again: {again}")
        return 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, help="faults for so long, then peace")
    parser.add_argument("--instances", type=int, default=10_000)
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--plan", type=Path, help="a plan to be done again")
    parser.add_argument("--peace", type=float, default=240.0, help="seconds that all get to end")
    parser.add_argument("--result", type=Path, help="where to write the tables to")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
