"""The fair queue, short and long, in few flows and in many.

All queues stand on one server at once, each in a gate of its own, and are visited in turns. In a
visit instances come and as many are handed out, so a queue keeps its length: `enqueue` is a
check-in and the follow that parks, `dequeue` a release that hands the slot on.

Fills `gate.enqueue.<waiting>.<flows>` and `gate.dequeue...` with seconds as a client sees them,
and the figures of the same names with `.server` with microseconds of the scripts.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack

from benchmarks.gate.ground import Ground, enqueue, plenty, row_of, spawn_of
from benchmarks.gate.running import Running
from benchmarks.gate.verbs import Part, clocked
from benchmarks.samples import Samples, in_turns
from orchestrator.admission.gate import Gate
from orchestrator.domain.instance import NewInstance

#: Slots that all wait for.
_SLOTS = 10
#: Sessions of a tenant, where there are so many flows.
_SESSIONS = 10
_PAGE = 1_000


def measure(ground: Ground, samples: Samples) -> None:
    """Build all queues, then visit them in turns."""
    with ExitStack() as opened:
        parts: list[Part] = []
        for waiting, flows in ground.plan.queues:
            name = f"{waiting}.{flows}"
            gate = opened.enter_context(ground.gate(name, plenty(), capacity=_SLOTS))
            fill(gate, waiting + _SLOTS, flows)
            parts.append(_visit(ground, gate, name, flows))
        for part in parts:
            part(Samples())
        for part in in_turns(parts, ground.plan.queue_rounds):
            part(samples)


def fill(gate: Gate, waiting: int, flows: int) -> None:
    """Let so many wait, spread evenly over the flows, and hand out what there is room for."""
    for start in range(0, waiting, _PAGE):
        numbers = range(start, min(start + _PAGE, waiting))
        gate.adopt([row_of(_spawn_in(number % flows)) for number in numbers])
    gate.pump()


def _visit(ground: Ground, gate: Gate, name: str, flows: int) -> Part:
    running = Running(ground.redis, gate)
    chance = random.Random(name)

    def visit(into: Samples) -> None:
        calls = ground.plan.queue_calls
        news = [_spawn_in(chance.randrange(flows)) for _ in range(calls)]
        clocked(ground, into, f"gate.enqueue.{name}", lambda new: enqueue(gate, new), news)
        ending: Iterator[tuple[str, int]] = running.end(calls)
        clocked(ground, into, f"gate.dequeue.{name}", lambda one: gate.release(*one), ending)

    return visit


def _spawn_in(flow: int) -> NewInstance:
    return spawn_of(f"tenant-{flow // _SESSIONS}", f"session-{flow % _SESSIONS}")
