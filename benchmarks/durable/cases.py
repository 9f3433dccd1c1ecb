"""What each system is asked to do. A case answers the seconds that it took, one or several."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from typing import cast

import redis

from benchmarks.durable.plan import DurablePlan
from benchmarks.stage import Stage
from orchestrator import SpawnRequest, State

#: Seconds after which a case counts as stuck, and the benchmark as failed.
PATIENCE = 300
#: Seconds that each of a flood sleeps: more than what is waited for on the spot.
NAP = 0.3

#: In the order of the report: what is measured, and its name in tables.
CASES = {
    "noop": "one no-op, from the call to its last line",
    "step": "one recorded step",
    "child": "a parent with one child, from the call to its last line",
    "resumed": "from the child's last line to the parent's next",
    "signal": "from a signal to the next line of who waits for it",
    "flood": "no-ops at once, each",
    "doze": "functions that sleep once, at once, each (without the nap)",
    "fan": "a parent with many children at once, each",
    "chain": "a chain in which each starts after the one before, each",
}


def fresh(name: str) -> str:
    """A list of Redis that nobody has used."""
    return f"durable:{name}:{uuid.uuid4()}"


def taken(client: redis.Redis, key: str) -> float:
    """The next number that somebody tells."""
    give_up_at = time.monotonic() + PATIENCE
    while time.monotonic() < give_up_at:
        # Looks are shorter than what the client waits for a reply at most.
        found = cast(tuple[str, str] | None, client.blpop([key], timeout=1))
        if found is not None:
            return float(found[1])
    raise RuntimeError(f"{key} did not end; see the worker's log")


class Ours:
    """This system, from a client's process."""

    name = "ours"

    def __init__(self, stage: Stage, plan: DurablePlan) -> None:
        self._stage, self._plan = stage, plan

    def run(self, case: str) -> Sequence[float] | None:
        """Seconds of one round; None: not to be expressed."""
        cases: dict[str, Callable[[], Sequence[float]]] = {
            "noop": lambda: [self._end("durable-noop") for _ in range(self._plan.singles)],
            "step": self._steps,
            "child": self._child,
            "signal": lambda: [self._signal() for _ in range(self._plan.singles)],
            "flood": self._flood,
            "doze": self._doze,
            "fan": lambda: [self._end("durable-fan", count=self._plan.fan) / self._plan.fan],
            "chain": self._chain,
        }
        return cases[case]() if case in cases else None

    def resumed(self) -> list[float]:
        """What the parents of the last round have told."""
        return [self._take(self._key + ":resumed") for _ in range(self._plan.singles)]

    def _child(self) -> list[float]:
        self._key = fresh("child")
        return [self._end("durable-child", self._key) for _ in range(self._plan.singles)]

    def _end(self, agent: str, key: str = "", **args: object) -> float:
        key = key or fresh(agent)
        began = time.time()
        self._stage.orchestrator.spawn(agent, {"key": key, **args})
        return self._take(key) - began

    def _steps(self) -> list[float]:
        key = fresh("steps")
        self._stage.orchestrator.spawn("durable-steps", {"key": key, "count": self._plan.steps})
        return [self._take(key)]

    def _signal(self) -> float:
        key = fresh("signal")
        handle = self._stage.orchestrator.spawn("durable-signal", {"key": key})
        while handle.status() is not State.WAITING:
            time.sleep(0.002)
        time.sleep(0.01)
        handle.signal("go", time.time())
        return self._take(key)

    def _flood(self) -> list[float]:
        key, size = fresh("flood"), self._plan.flood
        request = SpawnRequest("durable-count", {"key": key, "total": size}, session=key[-36:])
        return [self._spawned([request] * size, key) / size]

    def _doze(self) -> list[float]:
        key, size = fresh("doze"), self._plan.flood
        args = {"key": key, "seconds": NAP, "total": size}
        request = SpawnRequest("durable-doze", args, session=key[-36:])
        return [(self._spawned([request] * size, key) - NAP) / size]

    def _chain(self) -> list[float]:
        key, size = fresh("chain"), self._plan.chain
        links = [SpawnRequest("durable-noop", {}, session=key[-36:])]
        for number in range(1, size):
            args = {"key": key} if number == size - 1 else {}
            links.append(SpawnRequest("durable-noop", args, after=[links[-1]], session=key[-36:]))
        return [self._spawned(links, key) / size]

    def _spawned(self, requests: Sequence[SpawnRequest], key: str) -> float:
        began = time.time()
        self._stage.orchestrator.spawn_many(requests)
        return self._take(key) - began

    def _take(self, key: str) -> float:
        return taken(self._stage.redis, key)


class Other:
    """A system that does the same on command in a process of its own."""

    def __init__(self, name: str, client: redis.Redis, plan: DurablePlan) -> None:
        self.name, self._client, self._plan = name, client, plan

    def run(self, case: str) -> Sequence[float] | None:
        """See `Ours.run`."""
        counts = {"step": 1, "flood": 1, "doze": 1, "fan": 1, "chain": 1}
        self._key = fresh(case)
        sizes = {"step": self._plan.steps, "fan": self._plan.fan, "chain": self._plan.chain}
        size = sizes.get(case, self._plan.flood)
        found = []
        for _ in range(counts.get(case, self._plan.singles)):
            self._client.rpush(f"durable:{self.name}", f"{case} {size} {self._key}")
            seconds = taken(self._client, self._key)
            if seconds < 0:
                return None
            found.append(seconds)
        return found

    def resumed(self) -> list[float]:
        """See `Ours.resumed`."""
        return [taken(self._client, self._key + ":resumed") for _ in range(self._plan.singles)]
