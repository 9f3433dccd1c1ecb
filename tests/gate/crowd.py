"""One of many processes at one gate: a client and a worker at once, watching every limit."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, cast

from orchestrator.admission.gate import Gate
from orchestrator.admission.keys import key
from orchestrator.admission.scripts import Library
from orchestrator.domain.instance import NewInstance
from orchestrator.domain.lifecycle import State
from orchestrator.domain.limits import Limits
from orchestrator.domain.priority import Priority
from tests.gate.rows import row_of
from tests.gate.together import wait_for_start
from tests.support.clock import PLAIN_MESSAGE
from tests.support.make import spawn_of

GATE = "crowd"
LIMITS = Limits(
    session_concurrency=2,
    tenant_concurrency=3,
    pool_concurrency=4,
    global_concurrency=5,
    tenant_queue=6,
    global_queue=12,
)
LEASE = DISPATCH = 60.0
HOMES = (("a", "x"), ("a", "y"), ("b", "x"), ("b", "y"), ("c", "x"))
POOLS = ("p", "q")

#: Looks at everything at one moment: how far each count of slots and each queue is above its
#: bound, whether slots and leases are the same, and how far ahead of the server a lease may be.
_WATCH = """
local tag, time = KEYS[1], redis.call('TIME')
local config = {}
for i, name in ipairs({'session', 'tenant', 'pool', 'global', 'tenant_queue', 'global_queue'}) do
  config[name] = tonumber(redis.call('HGET', tag .. ':config', name))
end
local faults = {}
local function check(what, used, limit)
  if used > limit then faults[#faults + 1] = what .. ' ' .. used .. ' > ' .. limit end
end
local leases = redis.call('ZCARD', tag .. ':leases')
check('global', leases, config.global)
check('backlog', redis.call('ZCARD', tag .. ':backlog'), config.global_queue + config.global)
for _, scope in ipairs({'session', 'tenant', 'pool'}) do
  local sum = 0
  for _, name in ipairs(redis.call('KEYS', tag .. ':slots:' .. scope .. ':*')) do
    local used = redis.call('SCARD', name)
    check(name, used, config[scope])
    sum = sum + used
  end
  if sum ~= leases then faults[#faults + 1] = scope .. ' ' .. sum .. ' of ' .. leases end
end
local last = redis.call('ZRANGE', tag .. ':leases', -1, -1, 'WITHSCORES')[2]
if last then check('a lease ends', tonumber(last), time[1] * 1000 + time[2] / 1000 + ARGV[1]) end
return faults
"""


@dataclass
class Report:
    """What one process did and saw."""

    #: whatever was wrong at any moment
    faults: list[str] = field(default_factory=list)
    #: ids that were accepted, and messages `id attempt` that were read
    accepted: list[str] = field(default_factory=list)
    read: list[str] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)


def connect(url: str) -> Gate:
    """The gate of the crowd."""
    return Gate(url, Library(PLAIN_MESSAGE), name=GATE)


def take_part(url: str, number: int, operations: int, skew: float) -> Report:
    """Wait for the start, do random operations, and report. Runs in a process of its own.

    `skew`: seconds by which this process's clocks are wrong.
    """
    turn_clocks(skew)
    with closing(connect(url)) as gate:
        wait_for_start(gate)
        one = Participant(gate, number)
        for _ in range(operations):
            one.do_something()
        return one.report


def read_message(gate: Gate) -> str | None:
    """The next message of any pool, as a worker would take it."""
    separator = "\x06\x16"
    for pool in POOLS:
        for level in range(10):
            name = gate.queues(pool)[0] + (f"{separator}{level}" if level else "")
            if text := gate.redis.rpop(name):
                one, attempt, *_ = cast(str, text).split(" ")
                return f"{one} {attempt}"
    return None


class Participant:
    """A client that spawns and a worker that runs what it finds."""

    def __init__(self, gate: Gate, number: int) -> None:
        self.report = Report()
        self._gate = gate
        self._name = f"worker-{number}"
        self._random = random.Random(number)
        self._count = 0
        self._running: list[tuple[str, int]] = []
        self._waiting: list[tuple[str, int]] = []

    def do_something(self) -> None:
        """One operation, and a look at all limits."""
        common, rare = (self._spawn, self._begin, self._end), (self._hand_back, self._beat)
        what = self._random.choice([*common, *common, self._wait, self._go_on, *rare])
        what()
        self.report.done[what.__name__] += 1
        self.report.faults += watch(self._gate)

    def _spawn(self) -> None:
        new = self._new()
        verdict = self._gate.check_in(new, self._random.choice(["queue", "queue", "refuse"]))
        if verdict.refusal:
            return
        if self._random.random() < 0.1:
            self._gate.withdraw([new.id])
            return
        self._gate.follow(new)
        self.report.accepted.append(new.id)

    def _new(self) -> NewInstance:
        tenant, session = self._random.choice(HOMES)
        self._count += 1
        return spawn_of(
            id=f"{self._name}-{self._count}",
            tenant=tenant,
            session=session,
            pool=self._random.choice(POOLS),
            priority=self._random.choice(list(Priority)),
        )

    def _begin(self) -> None:
        if text := read_message(self._gate):
            self.report.read.append(text)
            one, attempt = text.split(" ")
            self._running.append((one, int(attempt)))

    def _end(self) -> None:
        if running := self._pop(self._running):
            self._gate.release(*running)

    def _hand_back(self) -> None:
        if running := self._pop(self._running):
            one, attempt = running
            row = row_of(spawn_like(self._gate, one), State.QUEUED, attempt)
            self._gate.requeue(row, attempt)

    def _wait(self) -> None:
        if running := self._pop(self._running):
            assert self._gate.suspend(*running, self._name)
            self._waiting.append(running)

    def _go_on(self) -> None:
        if waiting := self._pop(self._waiting):
            seen = self._gate.resume(*waiting)
            if seen.place == "queued":
                seen = self._gate.glance(waiting[0])
            if seen.place == "dispatched":
                self._running.append((waiting[0], seen.attempt))
            else:
                self._waiting.append(waiting)

    def _beat(self) -> None:
        pool = POOLS[0] if int(self._name.rpartition("-")[2]) % 2 else POOLS[1]
        self._gate.heartbeat(self._name, pool, 2, [*self._running, *self._waiting])

    def _pop(self, items: list[tuple[str, int]]) -> tuple[str, int] | None:
        return items.pop(self._random.randrange(len(items))) if items else None


def watch(gate: Gate) -> list[str]:
    """Everything that is wrong at this moment."""
    # Counted by the server's clock, with a little for what passes until it looks.
    longest = round(LEASE * 1000) + 1
    return cast(list[str], gate.redis.eval(_WATCH, 1, "{" + GATE + "}", longest))


def spawn_like(gate: Gate, one: str) -> NewInstance:
    """The spawn that the gate knows under this id; another process may have made it."""
    fields = cast(dict[str, Any], gate.redis.hgetall(key(gate.name, "instance", one)))
    labels = {name: fields[name] for name in ("session", "tenant", "pool", "agent")}
    return spawn_of(id=one, priority=Priority(int(fields["priority"])), **labels)


def turn_clocks(skew: float) -> None:
    """Make the clocks of this process wrong."""
    for name in ("time", "monotonic"):
        right: Callable[[], Any] = getattr(time, name)
        setattr(time, name, lambda right=right: right() + skew)
