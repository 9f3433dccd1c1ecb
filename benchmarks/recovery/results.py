"""From samples to a table and aims of recovery, beside what others publish."""

from __future__ import annotations

from benchmarks.samples import Samples
from benchmarks.tables import Aim, Table

#: series -> what it is, what others publish of the same, and the most that is wanted: seconds and
#: of which share
_FIELD = (
    "Hatchet, Inngest, BullMQ 30 s; DBOS Conductor 60 s; Trigger.dev, Prefect 300 s; "
    "Oban Lifeline, Celery on Redis 3,600 s"
)
_ROWS = {
    "noticed": ("a dead worker is noticed: its slot is free", _FIELD, 15.0),
    "queued": ("its instances are back in line", "", 20.0),
    "begun": ("they have begun again", "", 20.0),
    "orphans": ("code below a dead parent has left", "", 60.0),
    "cancelled": ("a tree is cancelled: the call", "", 2.0),
    "left": ("the same: code of each node has left", "", 2.0),
    "emptied": ("Redis emptied: the first spawn is accepted", "", 5.0),
}


def tables(samples: Samples) -> list[Table]:
    """What was measured; nothing when nothing was."""
    if "recovery.noticed" not in samples:
        return []
    rows = []
    for name, (what, field, _) in _ROWS.items():
        series = samples[f"recovery.{name}"]
        shares = (f"{series.percentile(share):.2f}" for share in (0.5, 0.99, 1.0))
        rows.append((what, str(len(series.samples)), *shares, field))
    return [Table("Recovery, with the default times", _COLUMNS, tuple(rows))]


_COLUMNS = ("times", "p50 s", "p99 s", "max s", "beside")


def aims(samples: Samples) -> list[Aim]:
    """The aims, held against what was measured."""
    if "recovery.noticed" not in samples:
        return []
    found = [
        Aim(f"{what}, p99", samples[f"recovery.{name}"].percentile(0.99), most, "s")
        for name, (what, _, most) in _ROWS.items()
    ]
    return [*found, Aim("slots leaked", samples.figure("recovery.leaked"), 0.0, "slots")]
