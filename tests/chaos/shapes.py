"""What spawners ask for: each shape with its arguments and what it has to answer."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from orchestrator import Budget, SpawnRequest

POOLS = ("default", "other")
TENANTS = ("alpha", "beta", "gamma")


@dataclass(frozen=True)
class Shape:
    """A tree to be spawned."""

    request: SpawnRequest
    #: what the root answers; None: it is to be cancelled, and nothing is known
    result: Any
    #: what the spawner does to it afterwards: nothing, `signal` or `cancel`
    then: str = ""


def _request(agent: str, args: dict[str, Any], **fields: Any) -> SpawnRequest:
    return SpawnRequest(agent, args, **fields)


def _chain(rng: random.Random) -> Shape:
    length = rng.randint(2, 5)
    return Shape(_request("chaos-chain", {"length": length, "pools": [*POOLS]}), length)


def _fan(rng: random.Random) -> Shape:
    width = rng.randint(3, 12)
    args = {"width": width, "pools": [*POOLS]}
    return Shape(_request("chaos-fan", args), sum(range(width)))


def _graph(rng: random.Random) -> Shape:
    width = rng.randint(1, 4)
    return Shape(_request("chaos-graph", {"width": width}), width + 2)


def _locked(rng: random.Random) -> Shape:
    return Shape(_request("chaos-locked", {"name": f"lock-{rng.randint(0, 2)}"}), 1)


def _caller(rng: random.Random) -> Shape:
    calls = rng.randint(1, 3)
    return Shape(_request("chaos-caller", {"calls": calls}, pool=rng.choice(POOLS)), calls)


def _talk(rng: random.Random) -> Shape:
    words = rng.randint(1, 5)
    return Shape(_request("chaos-talk", {"words": words}), sum(range(words)))


def _thrifty(rng: random.Random) -> Shape:
    # How many it gets is not sure: a spawn that could not be recorded counts for a while.
    budget = Budget(spawns=rng.randint(1, 3))
    return Shape(_request("chaos-thrifty", {"wants": 5}, budget=budget), 1)


def _urgent(rng: random.Random) -> Shape:
    return Shape(_request("chaos-leaf", {"value": 7}, priority="critical"), 7)


def _later(rng: random.Random) -> Shape:
    delay = rng.uniform(0.1, 1.0)
    return Shape(_request("chaos-leaf", {"value": 8}, not_before=delay), 8)


def _impolite(rng: random.Random) -> Shape:
    """May be refused: then nothing of it may be left."""
    return Shape(_request("chaos-leaf", {"value": 9}, on_limit="refuse"), 9)


def _plain(agent: str, result: Any, then: str = "", **args: Any) -> Callable[[Any], Shape]:
    return lambda _: Shape(_request(agent, args), result, then)


#: Each with how often it comes.
SHAPES: dict[Callable[[random.Random], Shape], int] = {
    _chain: 3,
    _fan: 4,
    _graph: 3,
    _locked: 2,
    _caller: 2,
    _talk: 2,
    _thrifty: 2,
    _urgent: 2,
    _later: 1,
    _impolite: 2,
    _plain("chaos-signal", "went or left", "signal"): 2,
    _plain("chaos-impatient", "cancelled"): 1,
    _plain("chaos-again", 0, rounds=2): 1,
    _plain("chaos-leaves-behind", 1): 1,
    _plain("chaos-endless", None, "cancel", depth=2): 2,
}


def shape(rng: random.Random) -> Shape:
    """One of them, by chance."""
    make = rng.choices(list(SHAPES), list(SHAPES.values()))[0]
    return make(rng)
