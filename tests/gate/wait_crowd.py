"""Processes that wait for each other and lock, all at once."""

from __future__ import annotations

import json
import random
from contextlib import closing
from dataclasses import dataclass, field
from typing import cast

from orchestrator.admission.gate import Gate
from orchestrator.admission.scripts import Library
from orchestrator.domain.instance import Instance
from orchestrator.domain.lifecycle import State
from tests.gate.rows import row_of
from tests.gate.together import PROCESSES
from tests.support.clock import PLAIN_MESSAGE
from tests.support.make import spawn_of
from tests.support.wait_model import Node, stuck_in

GATE = "crowd"
LOCKS = ("x", "y", "z")

#: The whole wait graph at one moment: what each node needs and waits for.
_SNAPSHOT = """
local tag, graph = KEYS[1], {}
for _, name in ipairs(redis.call('KEYS', tag .. ':wait:*')) do
  local id = string.sub(name, #tag + 7)
  local needs = redis.call('HGET', name, 'needs')
  if needs then
    graph[#graph + 1] = {id, tonumber(needs), redis.call('SMEMBERS', tag .. ':targets:' .. id)}
  end
end
for _, name in ipairs(redis.call('KEYS', tag .. ':holder:*')) do
  graph[#graph + 1] = {string.sub(name, #tag + 9), 1, {redis.call('HGET', name, 'holder')}}
end
return cjson.encode(graph)
"""


@dataclass
class Report:
    """What one process was told."""

    #: by round: whether this process's wait was refused
    refused: list[bool] = field(default_factory=list)
    #: nodes that were found in a deadlock at any moment
    stuck: set[Node] = field(default_factory=set)
    deadlocks: int = 0
    held: int = 0


def connect(url: str) -> Gate:
    """The gate of the crowd."""
    return Gate(url, Library(PLAIN_MESSAGE), name=GATE)


def instance(number: int) -> Instance:
    """The row of an instance that runs its first attempt."""
    return row_of(spawn_of(id=f"i{number:04}"), State.RUNNING, 1)


def stuck(gate: Gate) -> set[Node]:
    """Everybody who will never end, judged by the whole graph at this moment."""
    text = cast(str, gate.redis.eval(_SNAPSHOT, 1, "{" + GATE + "}"))
    return stuck_in({node: (needs, set(targets)) for node, needs, targets in json.loads(text)})


def meet(gate: Gate, name: str) -> None:
    """Go on when all processes are here."""
    if gate.redis.incr(f"here:{name}") == PROCESSES:
        gate.redis.rpush(f"go:{name}", *range(PROCESSES))
    gate.redis.blpop([f"go:{name}"], timeout=60)


def close_rings(url: str, number: int, rounds: int, size: int) -> Report:
    """In each round, wait for the next one of a ring of this many; all do so at once."""
    report = Report()
    with closing(connect(url)) as gate:
        for turn in range(rounds):
            first = turn * PROCESSES
            ring, place = divmod(number, size)
            after = first + ring * size + (place + 1) % size
            meet(gate, f"round {turn}")
            row = instance(first + number)
            reply = gate.begin_wait(row, 1, "run:1", [f"i{after:04}"])
            report.refused.append(bool(reply.cycle))
    return report


def storm(url: str, number: int, operations: int, population: int) -> Report:
    """Random waits and locks of the instances of this process, and looks at the whole."""
    report, chance = Report(), random.Random(number)
    mine = [instance(one) for one in range(population) if one % PROCESSES == number]
    claims = {row.id: (0, "") for row in mine}
    with closing(connect(url)) as gate:
        meet(gate, "storm")
        for count in range(operations):
            row = chance.choice(mine)
            before, lock = claims[row.id]
            if lock and chance.random() < 0.9:
                gate.free_lock(row, f"run:{before}", lock)
            claims[row.id] = (count + 1, _do_something(gate, row, count + 1, chance, report))
            if count % 10 == 0:
                report.stuck |= stuck(gate)
    return report


def _do_something(
    gate: Gate, row: Instance, count: int, chance: random.Random, report: Report
) -> str:
    """Begin or end a wait, or ask for a lock; answers the lock that was asked for."""
    claim = f"run:{count}"
    kind = chance.random()
    if kind < 0.3:
        gate.end_wait(row, f"run:{count - 1}")
        return ""
    if kind < 0.6:
        lock = chance.choice(LOCKS)
        reply = gate.take_lock(row, 1, claim, lock)
        report.held += reply.state == "held"
        report.deadlocks += bool(reply.cycle)
        # Also where it is only waited for: it may be given by the time it is to be let go of.
        return lock
    targets = [f"i{chance.randrange(24):04}" for _ in range(chance.choice([1, 1, 2, 3]))]
    needs = chance.choice([None, None, 1])
    reply = gate.begin_wait(row, 1, claim, targets, needs)
    report.deadlocks += bool(reply.cycle)
    return ""
