"""How much of durable agents is measured."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DurablePlan:
    """Counts of one run. Every system gets the same in every round."""

    #: rounds over all systems
    rounds: int
    #: single runs in a round, one after the other, of no-op, child and signal
    singles: int
    #: steps of one function
    steps: int
    #: no-ops, and functions that sleep once, at once
    flood: int
    #: children of one parent, and links of a chain
    fan: int
    chain: int
    #: instances that wait at the same time
    waiting: int


TINY = DurablePlan(rounds=1, singles=2, steps=5, flood=5, fan=5, chain=5, waiting=10)
QUICK = DurablePlan(rounds=2, singles=20, steps=100, flood=200, fan=200, chain=200, waiting=1_000)
FULL = DurablePlan(
    rounds=5, singles=40, steps=100, flood=1_000, fan=1_000, chain=1_000, waiting=10_000
)
