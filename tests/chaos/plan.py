"""Which fault comes when: by the seed alone."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong. Times are seconds from the first fault on."""

    at: float
    kind: str
    #: whom it happens to; of servers nobody in particular
    victim: str = ""
    #: which road of the victim, of those that are about networks
    road: str = ""
    #: how long it lasts; 0: it is over at once
    lasts: float = 0.0


#: Kinds by what they are about, each with how often it comes.
DEATHS = {"kill": 6, "term": 3, "stop": 4}
NETWORKS = {"latency": 2, "cut": 3, "refuse": 2, "black_hole": 3, "pause": 3, "freeze": 2}
SERVERS = {
    "redis restart": 2,
    "redis kill": 2,
    "redis wiped": 2,
    "redis flushed": 2,
    "redis hangs": 2,
    "postgres restart": 2,
    "postgres kill": 2,
    "postgres killed twice": 1,
    "postgres hangs": 2,
}
KINDS = (*DEATHS, *NETWORKS, *SERVERS)
#: How often each sort comes.
SORTS = {"death": 5, "network": 4, "server": 3}
#: Seconds between two faults, on average; and how often several come at once.
GAP, STORMS = 3.0, 0.15


def faults(seed: int, victims: Sequence[str]) -> Iterator[Fault]:
    """The faults of a seed, one after the other, without end."""
    rng = random.Random(seed)
    at = 0.0
    # First each kind once, so that a short run has seen all of them.
    first = rng.sample(KINDS, len(KINDS))
    while True:
        many = rng.randint(2, 4) if rng.random() < STORMS else 1
        for _ in range(many):
            kind = first.pop() if first else _kind(rng)
            yield _fault(rng, at, kind, victims)
        at = round(at + rng.uniform(0.3, 2 * GAP - 0.3) + 0.5 * (many - 1), 2)


def _kind(rng: random.Random) -> str:
    sort = rng.choices(list(SORTS), list(SORTS.values()))[0]
    kinds = {"death": DEATHS, "network": NETWORKS, "server": SERVERS}[sort]
    return rng.choices(list(kinds), list(kinds.values()))[0]


def _fault(rng: random.Random, at: float, kind: str, victims: Sequence[str]) -> Fault:
    # Drawn whether it is needed or not, so that a change of one kind moves no other.
    victim, road = rng.choice(victims), rng.choice(("redis", "database", "both"))
    lasts = round(rng.uniform(0.3, 6.0), 2)
    if kind in SERVERS:
        return Fault(at, kind, lasts=min(lasts, 4.0) if "hangs" in kind else 0.0)
    if kind in NETWORKS:
        return Fault(at, kind, victim, road, 0.0 if kind == "cut" else lasts)
    return Fault(at, kind, victim, lasts=lasts if kind == "stop" else 0.0)


def save(path: Path, plan: Iterable[Fault]) -> None:
    """Write a plan down, a fault a line."""
    path.write_text("".join(json.dumps(asdict(fault)) + "\n" for fault in plan))


def load(path: Path) -> list[Fault]:
    """Read a plan."""
    return [Fault(**json.loads(line)) for line in path.read_text().splitlines()]
