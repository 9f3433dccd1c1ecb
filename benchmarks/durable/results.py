"""From samples to tables and aims of durable agents."""

from __future__ import annotations

from benchmarks.durable.cases import CASES
from benchmarks.samples import Samples, ratio
from benchmarks.tables import Aim, Line, Table, timings

_SYSTEMS = {
    "ours": "this system",
    "dbos-direct": "dbos, in the caller's process",
    "dbos-queued": "dbos, by its queue",
    "procrastinate": "procrastinate",
    "celery": "Celery",
}
#: Cases that come one after the other, so that a rate says something.
_RATES = ("step", "flood", "doze", "fan", "chain")


def tables(samples: Samples) -> list[Table]:
    """What was measured; nothing when nothing was."""
    if "durable.noop.ours" not in samples:
        return []
    return [*(_case(samples, case) for case in CASES), _waiting(samples)]


def aims(samples: Samples) -> list[Aim]:
    """The aims, held against what was measured."""
    if "durable.noop.ours" not in samples:
        return []
    found = [
        Aim(
            "a parent goes on after its last child's end, p95",
            samples["durable.resumed.ours"].percentile(0.95) * 1000,
            50.0,
            "ms",
        ),
        Aim("suspend and resume, over a bare spawn", _suspension(samples), 3.0, "x"),
        Aim(
            f"a worker with {samples.figure('durable.waiting'):,.0f} that wait",
            samples.figure("durable.waiting.mib"),
            300.0,
            "MiB",
        ),
    ]
    for case in CASES:
        for name, times in _ratios(samples, case):
            if name != _SYSTEMS["celery"]:  # it keeps nothing
                found.append(Aim(f"{CASES[case]}: beside {name}", times, 1.0, "x"))
    return found


def _suspension(samples: Samples) -> float:
    """What one wait adds, in bare spawns of the same flood."""
    return ratio(samples["durable.doze.ours"], samples["durable.flood.ours"]) - 1


def _ratios(samples: Samples, case: str) -> tuple[tuple[str, float], ...]:
    ours = samples[f"durable.{case}.ours"]
    return tuple(
        (what, ratio(ours, samples[f"durable.{case}.{name}"]))
        for name, what in _SYSTEMS.items()
        if name != "ours" and f"durable.{case}.{name}" in samples
    )


def _case(samples: Samples, case: str) -> Table:
    lines = []
    for name, what in _SYSTEMS.items():
        if (series := f"durable.{case}.{name}") in samples:
            middle = samples[series].percentile(0.5)
            beside = _ratios(samples, case) if name == "ours" else ()
            lines.append(
                Line(what, samples[series], beside, 1 / middle if case in _RATES else None)
            )
    return timings(f"Durable: {CASES[case]}", lines)


def _waiting(samples: Samples) -> Table:
    many, seconds = samples.figure("durable.waiting"), samples.figure("durable.waiting.seconds")
    row = (
        "this system",
        f"{many:,.0f}",
        f"{seconds:.1f}",
        f"{many / seconds:,.0f}",
        f"{samples.figure('durable.waiting.mib'):.0f}",
        f"{samples.figure('durable.waiting.threads'):.0f}",
    )
    columns = ("waiting", "seconds until all wait", "per second", "worker's MiB", "its threads")
    return Table("Durable: how many wait in one worker", columns, (row,))
