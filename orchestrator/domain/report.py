"""What one round of housekeeping did."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Report:
    """Counts of one bounded round of a housekeeping job."""

    job: str
    #: leases that had run out and were looked at
    expired: int = 0
    #: instances put back in the queue
    requeued: int = 0
    #: instances that ended as failed
    failed: int = 0
    #: instances cancelled because their parent had ended
    orphans: int = 0
    #: rows the gate did not know and was told of again
    adopted: int = 0
    #: slots that one shard of the gate has lent another
    moved: int = 0
    #: places in the gate without a live row that were given up
    forgotten: int = 0
    #: instances ended for want of a budget, and alerts of budgets that were written
    exhausted: int = 0
    alerts: int = 0
    #: waits that had to fail, and places found where every slot only waits
    deadlocks: int = 0
    stalls: int = 0
    #: messages, and rounds of housekeeping, that were old and are gone
    removed: int = 0
    #: events of the audit trail that were sealed
    sealed: int = 0
    #: parts of the audit trail that were made, and that were dropped
    made: int = 0
    dropped: int = 0
    #: True when the bound of the round was reached and another should follow at once
    more: bool = False

    def counts(self) -> dict[str, int]:
        """What was done, by name; only what is not zero."""
        return {
            name: value
            for name, value in asdict(self).items()
            if value and name not in ("job", "more")
        }

    def to_dict(self) -> dict[str, int | str | bool]:
        """The report as JSON."""
        return asdict(self)
