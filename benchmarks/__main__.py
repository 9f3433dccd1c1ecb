"""`python -m benchmarks [--quick]`; see the package."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from datetime import UTC, datetime

from rich.console import Console

from benchmarks import agents as agents  # registers them in this process too
from benchmarks import clients, facts, floods, starts
from benchmarks.plan import FULL, QUICK, Plan
from benchmarks.report import Report
from benchmarks.samples import Samples
from benchmarks.stage import Stage, stage

#: What is measured, in this order, and what it is called while it runs.
PARTS: dict[str, Callable[[Stage, Samples], None]] = {
    "calls": clients.measure,
    "starts on an idle system": starts.measure_idle,
    "starts at load": starts.measure_at_load,
    "no-ops from end to end": floods.measure,
}


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="less of everything: under a minute")
    plan = QUICK if parser.parse_args().quick else FULL
    console = Console()
    report = measure(plan, lambda text: console.print(text, style="dim", highlight=False))
    report.show(console)
    for path in report.write():
        console.print(f"written: {path.relative_to(facts.ROOT)}", highlight=False)


def measure(plan: Plan, say: Callable[[str], None]) -> Report:
    """One run on servers and workers of its own."""
    machine, began, at = facts.machine(), time.monotonic(), datetime.now(UTC)
    samples = Samples()
    with stage(plan, lambda name, detail: say(f"{name} {detail}")) as measured:
        for name, part in PARTS.items():
            say(f"measuring {name}")
            part(measured, samples)
        versions = facts.versions(measured)
    seconds = time.monotonic() - began
    return Report(at, facts.commit(), plan.name, seconds, machine, versions, samples)


if __name__ == "__main__":
    main()
