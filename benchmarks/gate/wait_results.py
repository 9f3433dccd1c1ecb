"""From samples to tables and aims of the wait graph."""

from __future__ import annotations

from benchmarks.samples import Samples
from benchmarks.tables import Aim, Table, percentiles

_WHAT = {
    "edge": "one more edge among {count:,}",
    "closing": "a wait that closes a cycle, in a tree of {count:,}",
    "escape": "the same, each parent needs one child, in a tree of {count:,}",
}


def tables(samples: Samples) -> list[Table]:
    """All waits that were begun, in the order in which they were first measured."""
    rows = []
    for kind, what in _WHAT.items():
        for count in _counts(samples, kind):
            name = f"gate.{kind}.{count}"
            script = (
                f"{samples.figure(f'{name}.server'):.1f}" if f"{name}.server" in samples else ""
            )
            rows.append((what.format(count=count), *percentiles(samples[name]), script))
    columns = ("p50 ms", "p95 ms", "p99 ms", "script us")
    return [Table("The wait graph", columns, tuple(rows))]


def aims(samples: Samples) -> list[Aim]:
    """The slowest closing waits, whatever their tree."""
    found = []
    for kind in ("closing", "escape"):
        slowest = max(
            samples[f"gate.{kind}.{count}"].percentile(0.99) for count in _counts(samples, kind)
        )
        what = _WHAT[kind].format(count=max(_counts(samples, kind)))
        found.append(Aim(f"{what} or less, p99", slowest * 1000, 1.0, "ms"))
    return found


def _counts(samples: Samples, kind: str) -> list[int]:
    prefix = f"gate.{kind}."
    return [
        int(name.removeprefix(prefix)) for name, _ in samples.items() if name.startswith(prefix)
    ]
