"""Who lends whom what, where a limit is dealt out to several shards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Load:
    """One shard's part of a limit, and what is made of it."""

    limit: int
    used: int
    #: whether anybody waits there
    has_waiting: bool

    @property
    def is_short(self) -> bool:
        """Whether more would be used at once."""
        return self.has_waiting and self.used >= self.limit

    @property
    def spare(self) -> int:
        """What can be lent: half of what is free, rounded up."""
        return 0 if self.has_waiting else max(0, self.limit - self.used + 1) // 2


@dataclass(frozen=True)
class Transfer:
    """So much of a limit goes from one shard to another, both by number."""

    lender: int
    borrower: int
    amount: int


def plan(loads: Sequence[Load]) -> list[Transfer]:
    """What to move now, so that those who are short get even parts of what others can spare."""
    short = [number for number, load in enumerate(loads) if load.is_short]
    spare = {number: load.spare for number, load in enumerate(loads) if load.spare}
    total = sum(spare.values())
    transfers = []
    for place, borrower in enumerate(short):
        wanted = total // len(short) + (place < total % len(short))
        for lender in spare:
            amount = min(wanted, spare[lender])
            if amount:
                transfers.append(Transfer(lender, borrower, amount))
                spare[lender] -= amount
                wanted -= amount
    return transfers
