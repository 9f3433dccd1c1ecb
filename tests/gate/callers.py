"""One of many processes that call the same resources, watching every limit."""

from __future__ import annotations

import random
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from typing import cast

from orchestrator.admission.calls import Caller
from orchestrator.admission.gate import Gate
from orchestrator.domain.call import Amounts, Outcome
from orchestrator.domain.resource import BreakerPolicy, Resource
from tests.gate import crowd
from tests.gate.together import wait_for_start

RATE = Resource("rate", requests_per_minute=1_200, burst=0.02, breaker=None)
FEW = Resource("few", requests_per_minute=None, concurrency=3, breaker=None)
FRAIL = Resource(
    "frail",
    requests_per_minute=None,
    breaker=BreakerPolicy(
        failures=2, failure_rate=None, cooldown=0.05, max_cooldown=0.1, probes=2, ramp=0.02
    ),
)

#: Whatever is above its limit at one moment. Half-open probes are counted by themselves too: in
#: one generation no more may have been let through than probes, but for those that told nothing.
_WATCH = """
local tag, faults = KEYS[1], {}
local function check(what, used, limit)
  if used > limit then faults[#faults + 1] = what .. ' ' .. used .. ' > ' .. limit end
end
check('few', redis.call('ZCARD', tag .. ':calls:few'), 3)
local state = redis.call('HMGET', tag .. ':breaker:frail', 'state', 'probed')
if state[1] == 'half_open' then
  local probing = redis.call('ZCARD', tag .. ':probes:frail')
  check('probes', probing + tonumber(state[2]), 2)
end
return faults
"""


_GENERATION = "return cmsgpack.unpack(redis.call('GET', KEYS[1])).generation"


@dataclass
class Report:
    """What one process did and saw."""

    faults: list[str] = field(default_factory=list)
    taken: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    #: generation of the frail breaker -> calls let through in it that then told something
    told: Counter[int] = field(default_factory=Counter)
    #: and whether that was a half-open one
    half_open: set[int] = field(default_factory=set)


def take_part(url: str, number: int, operations: int, skew: float) -> Report:
    """Wait for the start, call at random, and report. Runs in a process of its own."""
    crowd.turn_clocks(skew)
    with closing(crowd.connect(url)) as gate:
        wait_for_start(gate)
        one = Participant(gate, number)
        for _ in range(operations):
            one.call_something()
        return one.report


class Participant:
    """A process that calls."""

    def __init__(self, gate: Gate, number: int) -> None:
        self.report = Report()
        self._gate = gate
        self._number = number
        self._random = random.Random(number)
        self._count = 0
        self._under_way: list[Caller] = []

    def call_something(self) -> None:
        """One call, taken or not, and perhaps the end of an earlier one."""
        resource = self._random.choice([RATE, FEW, FEW, FRAIL, FRAIL, FRAIL])
        self._count += 1
        caller = Caller(f"{self._number}-{self._count}", resource.name, f"t{self._number % 3}")
        verdict = self._gate.acquire(caller, Amounts(), may_wait=False)
        if verdict.decision == "taken":
            self.report.taken[resource.name] += 1
            self._under_way.append(caller)
            if resource is FRAIL:
                self._note_generation(caller)
        else:
            self.report.refused[f"{resource.name} {verdict.refusal}"] += 1
        self.report.faults += watch(self._gate)
        while len(self._under_way) > self._random.randint(0, 2):
            self._settle(self._under_way.pop(0))

    def _settle(self, caller: Caller) -> None:
        outcome = self._random.choice([Outcome.SUCCESS, Outcome.TRANSIENT, Outcome.SUCCESS])
        self._gate.settle_call(caller, outcome, {})

    def _note_generation(self, caller: Caller) -> None:
        shard = self._gate.shards[0]
        generation = cast(int, shard.redis.eval(_GENERATION, 1, shard.key("call", caller.id)))
        if shard.redis.zscore(shard.key("probes", "frail"), caller.id) is not None:
            self.report.half_open.add(generation)
        self.report.told[generation] += 1


def watch(gate: Gate) -> list[str]:
    """Everything that is wrong at this moment."""
    return cast(list[str], gate.redis.eval(_WATCH, 1, "{" + crowd.GATE + "}"))


def server_seconds(gate: Gate) -> float:
    """The time of the server, whatever this process thinks."""
    seconds, micros = gate.redis.time()
    return seconds + micros / 1e6
