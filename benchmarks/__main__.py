"""`python -m benchmarks [--quick] [--only PART]`; see the package."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from datetime import UTC, datetime

from rich.console import Console

from benchmarks import agents as agents  # registers them in this process too
from benchmarks import clients, facts, floods, starts
from benchmarks.durable.measure import measure as measure_durable
from benchmarks.gate.measure import measure as measure_gate
from benchmarks.plan import FULL, QUICK, Plan
from benchmarks.recovery.measure import measure as measure_recovery
from benchmarks.report import Report
from benchmarks.samples import Samples
from benchmarks.stage import Stage, stage

CHOICES = ("system", "durable", "gate", "recovery")
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
    parser.add_argument("--quick", action="store_true", help="less of everything: two minutes")
    parser.add_argument("--only", choices=CHOICES, help="a part; keeps latest.md")
    options = parser.parse_args()
    plan = QUICK if options.quick else FULL
    console = Console()

    def say(text: str) -> None:
        console.print(text, style="dim", highlight=False)

    report = measure(plan, options.only, say)
    report.show(console)
    for path in report.write():
        console.print(f"written: {path.relative_to(facts.ROOT)}", highlight=False)


def measure(plan: Plan, only: str | None, say: Callable[[str], None]) -> Report:
    """One run on servers and workers of its own: all, or only one part."""
    machine, began, at = facts.machine(), time.monotonic(), datetime.now(UTC)
    samples, versions = Samples(), facts.packages()
    if only == "recovery":
        measure_recovery(plan.recovery, samples, say)
    elif only != "gate":
        versions |= _measure_system(plan, only, samples, say)
    if only in (None, "gate"):
        versions |= measure_gate(plan.gate, samples, say)
    mode = "-".join(filter(None, (plan.name, only)))
    return Report(at, facts.commit(), mode, time.monotonic() - began, machine, versions, samples)


def _measure_system(
    plan: Plan, only: str | None, samples: Samples, say: Callable[[str], None]
) -> dict[str, str]:
    with stage(plan, lambda name, detail: say(f"{name} {detail}")) as measured:
        for name, part in PARTS.items() if only != "durable" else ():
            say(f"measuring {name}")
            part(measured, samples)
        if only != "system":
            measure_durable(measured, samples, say)
        return facts.servers(measured)


if __name__ == "__main__":
    main()
