"""How much of recovery is measured."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RecoveryPlan:
    """Counts of one run."""

    #: workers that are killed, each with an instance and a tree, within so many seconds
    workers: int
    within: float
    #: trees that are cancelled, and children at each of their levels
    trees: int
    fan: tuple[int, ...]
    #: times that Redis is emptied
    losses: int


QUICK = RecoveryPlan(workers=4, within=5.0, trees=1, fan=(5, 4), losses=3)
#: A tree of 1 + 9 + 99 + 891 nodes.
FULL = RecoveryPlan(workers=20, within=15.0, trees=3, fan=(9, 11, 9), losses=20)
