"""How much is measured."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.durable import plan as durables
from benchmarks.durable.plan import DurablePlan
from benchmarks.gate import plan as gates
from benchmarks.gate.plan import GatePlan
from benchmarks.recovery import plan as recoveries
from benchmarks.recovery.plan import RecoveryPlan


@dataclass(frozen=True)
class Plan:
    """Counts of one run. Every variant gets the same in every round."""

    name: str
    #: rounds of client calls, and calls of each kind in one
    client_rounds: int
    client_calls: int
    #: rounds of single starts on an idle system, and starts in one
    idle_rounds: int
    idle_starts: int
    #: rounds of starts at load, and starts in one
    load_rounds: int
    load_starts: int
    #: rounds of no-ops, and no-ops in one
    flood_rounds: int
    flood_size: int
    #: what is measured of the gate by itself
    gate: GatePlan
    #: what is measured of durable agents
    durable: DurablePlan
    #: what is measured of recovery
    recovery: RecoveryPlan
    #: starts per second at load
    load_rate: float = 50.0
    #: threads of every worker, and how many of them are busy at load
    concurrency: int = 64
    busy: int = 32


QUICK = Plan(
    "quick",
    client_rounds=4,
    client_calls=50,
    idle_rounds=3,
    idle_starts=40,
    load_rounds=2,
    load_starts=60,
    flood_rounds=2,
    flood_size=300,
    gate=gates.QUICK,
    durable=durables.QUICK,
    recovery=recoveries.QUICK,
)

FULL = Plan(
    "full",
    client_rounds=20,
    client_calls=100,
    idle_rounds=8,
    idle_starts=50,
    load_rounds=4,
    load_starts=150,
    flood_rounds=5,
    flood_size=1_000,
    gate=gates.FULL,
    durable=durables.FULL,
    recovery=recoveries.FULL,
)
