"""One of many processes that spend one budget, watching that nothing of it is exceeded."""

from __future__ import annotations

import random
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from typing import cast

from orchestrator.admission.calls import Caller
from orchestrator.admission.gate import Gate
from orchestrator.admission.scripts import Library
from orchestrator.domain.budget import Budget
from orchestrator.domain.call import Amounts, Outcome
from orchestrator.domain.instance import NewInstance
from tests.gate.together import wait_for_start
from tests.support.clock import PLAIN_MESSAGE
from tests.support.make import spawn_of

GATE = "spenders"
SESSION = Budget(tokens=2_000, usd=3.0, spawns=150, live=12)

#: Every account at one moment: what is taken beyond its limit, and live ones beyond theirs.
_WATCH = """
local faults = {}
for _, name in ipairs(redis.call('SMEMBERS', KEYS[1] .. ':accounts')) do
  local stored = KEYS[1] .. ':account:' .. name
  for _, quantity in ipairs({'tokens', 'usd', 'spawns'}) do
    local limit, taken = redis.call('HGET', stored, quantity), 0
    for _, kind in ipairs({'_used', '_held', '_lent'}) do
      local part = tonumber(redis.call('HGET', stored, quantity .. kind) or '0')
      if part < 0 then faults[#faults + 1] = name .. ' ' .. quantity .. kind .. ' ' .. part end
      taken = taken + part
    end
    if limit and taken > tonumber(limit) then
      faults[#faults + 1] = name .. ' ' .. quantity .. ' ' .. taken .. ' > ' .. limit
    end
  end
  local live, most = redis.call('SCARD', KEYS[1] .. ':account_live:' .. name),
                     redis.call('HGET', stored, 'live')
  if most and live > tonumber(most) then
    faults[#faults + 1] = name .. ' live ' .. live .. ' > ' .. most
  end
end
return faults
"""


@dataclass
class Spent:
    """What one process did and saw."""

    faults: list[str] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    tokens: int = 0
    spawns: int = 0


def connect(url: str) -> Gate:
    """The gate of the spenders."""
    return Gate(url, Library(PLAIN_MESSAGE), name=GATE)


def take_part(url: str, number: int, operations: int) -> Spent:
    """Wait for the start, spend, and report. Runs in a process of its own."""
    with closing(connect(url)) as gate:
        wait_for_start(gate)
        one = Spender(gate, number)
        for _ in range(operations):
            one.do_something()
        one.finish()
        return one.spent


def watch(gate: Gate) -> list[str]:
    """All that is exceeded at this moment."""
    return cast(list[str], gate.redis.eval(_WATCH, 1, "{" + GATE + "}"))


class Spender:
    """Spawns below the session's budget, with and without shares, and makes calls."""

    def __init__(self, gate: Gate, number: int) -> None:
        self.spent = Spent()
        self._gate = gate
        self._name = f"p{number}"
        self._random = random.Random(number)
        self._live: list[NewInstance] = []
        self._calls: list[tuple[Caller, int]] = []
        self._count = 0

    def do_something(self) -> None:
        """One operation, and a look at all that is bounded."""
        what = self._random.choice([self._spawn, self._spawn, self._call, self._settle, self._end])
        what()
        self.spent.faults += watch(self._gate)

    def finish(self) -> None:
        """Settle all calls and end all that is live."""
        while self._calls:
            self._settle()
        while self._live:
            self._end()

    def _spawn(self) -> None:
        share = Budget(tokens=self._random.choice([50, 300]), spawns=3, live=2)
        new = spawn_of(id=self._id(), budget=share if self._random.random() < 0.5 else None)
        refused = self._gate.check_in(new, "queue").refusal
        self.spent.done["refused" if refused else "spawned"] += 1
        if refused:
            return
        if self._random.random() < 0.2:
            self._gate.withdraw([new.id])
            return
        self._gate.follow(new)
        self._live.append(new)
        self.spent.spawns += 1

    def _call(self) -> None:
        if self._live:
            caller = Caller(self._id(), "llm", "tenant", self._random.choice(self._live).id)
            tokens = self._random.choice([5, 40])
            amounts = Amounts(input_tokens=tokens, usd=0.01)
            taken = self._gate.acquire(caller, amounts, may_wait=False).decision == "taken"
            self.spent.done["called" if taken else "stopped"] += 1
            if taken:
                self._calls.append((caller, tokens))

    def _settle(self) -> None:
        if self._calls:
            caller, estimate = self._calls.pop(self._random.randrange(len(self._calls)))
            used = self._random.randint(0, estimate)
            for _ in range(2):
                told = {"input_tokens": used, "usd": 0.001}
                self._gate.settle_call(caller, Outcome.SUCCESS, told)
            self.spent.tokens += used

    def _end(self) -> None:
        if self._live:
            one = self._live.pop(self._random.randrange(len(self._live)))
            self._gate.release(one.id, self._gate.glance(one.id).attempt)
            self.spent.done["ended"] += 1

    def _id(self) -> str:
        self._count += 1
        return f"{self._name}-{self._count}"
