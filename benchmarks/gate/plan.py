"""How much of the gate is measured."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class GatePlan:
    """Counts of one run. Every variant gets the same in every round."""

    #: rounds of calls by one client, and calls of each kind in one
    rounds: int
    calls: int
    #: rounds at the server's limit, client processes, and commands of each in one
    crowd_rounds: int
    crowd_clients: int
    crowd_calls: int
    #: how many wait, and in how many flows, for each size of the queue
    queues: tuple[tuple[int, int], ...]
    #: rounds over all sizes, and instances that come and go in one
    queue_rounds: int
    queue_calls: int
    #: edges of the wait graph, and sizes of the trees in which a wait would close a cycle
    edges: tuple[int, ...]
    trees: tuple[int, ...]
    #: rounds over all graphs, and waits in one
    wait_rounds: int
    wait_calls: int
    #: starts in each scene of fairness
    fair_starts: int


#: Hardly anything: to see that it runs.
TINY = GatePlan(
    rounds=2,
    calls=3,
    crowd_rounds=1,
    crowd_clients=1,
    crowd_calls=32,
    queues=((10, 1), (1_000, 10), (1_000, 1), (1_000, 1_000)),
    queue_rounds=2,
    queue_calls=3,
    edges=(10, 1_000),
    trees=(10, 100),
    wait_rounds=2,
    wait_calls=3,
    fair_starts=30,
)

QUICK = GatePlan(
    rounds=6,
    calls=100,
    crowd_rounds=2,
    crowd_clients=3,
    crowd_calls=2_000,
    queues=((10, 1), (1_000, 10), (20_000, 200), (20_000, 1), (20_000, 20_000)),
    queue_rounds=4,
    queue_calls=50,
    edges=(10, 1_000, 10_000),
    trees=(10, 1_000, 10_000),
    wait_rounds=4,
    wait_calls=50,
    fair_starts=2_100,
)

FULL = GatePlan(
    rounds=20,
    calls=200,
    crowd_rounds=5,
    crowd_clients=3,
    crowd_calls=10_000,
    queues=(
        (10, 1),
        (1_000, 10),
        (100_000, 1_000),
        (1_000_000, 10_000),
        (100_000, 1),
        (100_000, 10_000),
        (100_000, 100_000),
    ),
    queue_rounds=12,
    queue_calls=100,
    edges=(10, 1_000, 100_000),
    trees=(10, 1_000, 10_000),
    wait_rounds=12,
    wait_calls=100,
    fair_starts=14_000,
)
