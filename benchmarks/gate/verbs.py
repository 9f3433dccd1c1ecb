"""One client, one call after the other, on gates with few instances.

Fills `gate.<verb>` with seconds as the client sees them, and the figures `gate.<verb>.server`
with microseconds that its scripts took by the server's own account.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from typing import TypeVar

from benchmarks.gate.ground import Ground, enqueue, plenty, spawn_of
from benchmarks.gate.meter import metered
from benchmarks.gate.running import Running
from benchmarks.samples import Samples, in_turns, timed
from orchestrator.admission.gate import Gate
from orchestrator.admission.wire import Wire, pack, pack_head

T = TypeVar("T")
#: Something that is measured round by round.
Part = Callable[[Samples], object]

#: Slots of the gate on which instances have to wait.
_SLOTS = 10


def measure(ground: Ground, samples: Samples, others: Sequence[Part]) -> None:
    """Our verbs and `others` in turns."""
    with ExitStack() as opened:
        free = opened.enter_context(ground.gate("free", plenty()))
        full = opened.enter_context(ground.gate("full", plenty(), capacity=_SLOTS))
        running = Running(ground.redis, full)
        for _ in range(_SLOTS):
            enqueue(full, spawn_of())
        parts: list[Part] = [
            lambda into: _ping(ground, into),
            lambda into: _admit(ground, free, into),
            lambda into: _wait(ground, full, running, into),
            *others,
        ]
        for part in parts:
            part(Samples())  # the first calls connect, load scripts and fill caches
        for part in in_turns(parts, ground.plan.rounds):
            part(samples)


def clocked(
    ground: Ground, into: Samples, name: str, action: Callable[[T], object], items: Iterable[T]
) -> None:
    """One round of a verb: what it takes for the client, and what of it in scripts."""
    taken: list[float] = []
    spent = metered(ground.redis, lambda: taken.extend(timed(action, items)))
    into.add(name, taken)
    into.note(f"{name}.server", spent.script_seconds * 1e6 / len(taken))


def _ping(ground: Ground, into: Samples) -> None:
    """The floor, and what is left of it over the gate's own thin client."""
    calls = range(ground.plan.calls)
    into.add("gate.ping", timed(lambda _: ground.redis.ping(), calls))
    wire, ping = Wire(ground.redis), pack(pack_head("PING"), 1, [])
    wire.call_many([ping])  # connects
    into.add("gate.wire_ping", timed(lambda _: wire.call_many([ping]), calls))
    wire.close()


def _admit(ground: Ground, gate: Gate, into: Samples) -> None:
    """Spawns that find room, from check-in to release."""
    news = [spawn_of() for _ in range(ground.plan.calls)]
    clocked(ground, into, "gate.check_in", lambda new: gate.check_in(new, "queue"), news)
    clocked(ground, into, "gate.follow", gate.follow, news)
    clocked(ground, into, "gate.release", lambda new: gate.release(new.id, 1), news)
    Running(ground.redis, gate).read()


def _wait(ground: Ground, gate: Gate, running: Running, into: Samples) -> None:
    """Spawns that find no room, and slots that go over to those who wait."""
    calls = ground.plan.calls
    news = [spawn_of() for _ in range(calls)]
    clocked(ground, into, "gate.queue", lambda new: enqueue(gate, new), news)
    ending = running.end(calls)
    clocked(ground, into, "gate.hand_on", lambda one: gate.release(*one), ending)
