"""Whether those who wait are served by their weights, on a clock that the benchmark sets.

Tenants that always have more waiting than may run share the slots of one pool. Each instance
holds its slot for a known time, and what counts is the slot time that each tenant has really had.

- share error: the largest difference between a tenant's share and the one its weight gives it
- deviation: how far a tenant was ever ahead of or behind its due, in the longest slot time
- Jain's index (Jain, Chiu, Hawe 1984) of what tenants had for their weights; 1 is even

Fills the figures `gate.fair.<scene>.error`, `.deviation` and `.jain`.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from benchmarks.gate.ground import EPOCH, LEASE, POOL, Ground, enqueue, plenty, spawn_of
from benchmarks.gate.running import Running
from benchmarks.samples import Samples
from orchestrator.admission.gate import Gate
from orchestrator.admission.keys import hash_tag
from orchestrator.domain.scope import Scope

#: Takes the place of the gate's clock.
CLOCK = "local now = tonumber(redis.call('GET', KEYS[1] .. ':clock'))"
#: Slots that all share, and instances of each tenant that wait at any time.
_SLOTS, _WAITING = 10, 20


@dataclass(frozen=True)
class Scene:
    """Who shares, and what they say of what they need."""

    name: str
    what: str
    #: tenant -> its weight
    weights: Mapping[str, float]
    #: tenant -> how many times as much it declares as it uses; 1 where nothing is said
    claims: Mapping[str, float] = field(default_factory=dict)
    #: seconds that instances hold their slots: the shortest and the longest
    durations: tuple[float, float] = (1.0, 1.0)
    unit: str = "slot_seconds"


_BY_WEIGHT = {"one": 1.0, "two": 2.0, "four": 4.0}

SCENES = (
    Scene("starts", "1:2:4, counted in starts", _BY_WEIGHT, unit="starts"),
    Scene("honest", "1:2:4, 0.5 to 1.5 s each", _BY_WEIGHT, durations=(0.5, 1.5)),
    Scene(
        "wrong",
        "the same, declared costs wrong by 100 x",
        _BY_WEIGHT,
        {"one": 100.0, "two": 1.0, "four": 0.01},
        (0.5, 1.5),
    ),
    Scene(
        "many",
        "50 equal tenants, 0.5 to 1.5 s each",
        {f"tenant-{number}": 1.0 for number in range(50)},
        durations=(0.5, 1.5),
    ),
)


def measure(ground: Ground, samples: Samples) -> None:
    """Play all scenes."""
    for scene in SCENES:
        limits = plenty()
        with ground.gate(f"fair-{scene.name}", limits, 0, clock=CLOCK) as gate:
            gate.configure(
                limits,
                lease=LEASE,
                dispatch=LEASE,
                outbox=False,
                aging=LEASE,
                fair_unit=scene.unit,
            )
            weights = {Scope("weight:tenant", name): one for name, one in scene.weights.items()}
            gate.apply_limits(1, weights, 0)
            play = Play(ground, gate, scene)
            play.run(ground.plan.fair_starts)
            samples.note(f"gate.fair.{scene.name}.error", play.error())
            samples.note(f"gate.fair.{scene.name}.deviation", play.deviation)
            samples.note(f"gate.fair.{scene.name}.jain", play.jain())


class Play:
    """One scene: who runs, who waits, and what each tenant has had so far."""

    def __init__(self, ground: Ground, gate: Gate, scene: Scene) -> None:
        self._ground, self._gate, self._scene = ground, gate, scene
        self._chance = random.Random(scene.name)
        self._running = Running(ground.redis, gate)
        #: id -> tenant of all that wait or run
        self._tenants: dict[str, str] = {}
        #: end, start, id and attempt of what runs; the next end first
        self._ends: list[tuple[int, int, str, int]] = []
        self._now = EPOCH
        #: milliseconds of slot time of what has ended
        self._had: Counter[str] = Counter()
        self.deviation = 0.0

    def run(self, starts: int) -> None:
        """Let so many start, all tenants having work waiting at every moment."""
        self._set_clock(EPOCH)
        for tenant in self._scene.weights:
            for _ in range(_WAITING):
                self._enqueue(tenant)
        self._gate.heartbeat("worker", POOL, _SLOTS, [])
        self._gate.pump()
        while starts > 0:
            starts -= self._begin()
            self._end_next()
            self.deviation = max(self.deviation, self._furthest())

    def _enqueue(self, tenant: str) -> None:
        shortest, longest = self._scene.durations
        declared = (shortest + longest) / 2 * self._scene.claims.get(tenant, 1.0)
        new = replace(spawn_of(tenant, tenant), cost=declared if self._scene.claims else None)
        self._tenants[new.id] = tenant
        enqueue(self._gate, new)

    def _begin(self) -> int:
        """What was handed out runs; another of its tenant comes to wait."""
        found = self._running.read()
        for one, attempt in found:
            end = self._now + round(self._chance.uniform(*self._scene.durations) * 1000)
            heapq.heappush(self._ends, (end, self._now, one, attempt))
            self._enqueue(self._tenants[one])
        return len(found)

    def _end_next(self) -> None:
        end, start, one, attempt = heapq.heappop(self._ends)
        self._set_clock(end)
        self._had[self._tenants.pop(one)] += end - start
        self._gate.release(one, attempt)

    def _set_clock(self, now: int) -> None:
        self._now = now
        self._ground.redis.set(f"{hash_tag(self._gate.name)}:clock", now)

    def _service(self) -> dict[str, float]:
        """Milliseconds of slot time that each has had up to now, also of what runs."""
        had: dict[str, float] = {name: self._had[name] for name in self._scene.weights}
        for _, start, one, _ in self._ends:
            had[self._tenants[one]] += self._now - start
        return had

    def _furthest(self) -> float:
        """How far anybody is from its due, in longest slot times."""
        had, weights = self._service(), self._scene.weights
        each = sum(had.values()) / sum(weights.values())
        longest = self._scene.durations[1] * 1000
        return max(abs(had[name] - each * weight) for name, weight in weights.items()) / longest

    def error(self) -> float:
        """The largest difference between a share and the one it should be."""
        had, weights = self._service(), self._scene.weights
        whole, parts = sum(had.values()), sum(weights.values())
        return max(abs(had[name] / whole - weight / parts) for name, weight in weights.items())

    def jain(self) -> float:
        """How even the tenants were served for their weights."""
        had = self._service()
        each = [had[name] / weight for name, weight in self._scene.weights.items()]
        return sum(each) ** 2 / (len(each) * sum(one * one for one in each))
