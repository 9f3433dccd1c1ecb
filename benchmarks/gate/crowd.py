"""The server at its limit: several clients that send more than it can answer.

The commands of each verb are packed beforehand. Each client is a process that sends a page of
them as soon as the last one is answered, so that clients cost little and the server is never idle.

Fills `gate.crowd.<verb>` with seconds of the server per command by the clock, and the figures
`gate.crowd.<verb>.server` and `.processor` with microseconds of its scripts and of its processor.
"""

from __future__ import annotations

import functools
import multiprocessing
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

import redis

from benchmarks.gate import calls
from benchmarks.gate.ground import Ground, connect, plenty, spawn_of
from benchmarks.gate.meter import metered
from benchmarks.gate.rehearsal import Commands, Rehearsal
from benchmarks.samples import Samples
from orchestrator.admission.gate import Gate
from orchestrator.admission.wire import Wire, pack, pack_head
from orchestrator.domain.instance import NewInstance

#: Commands of one client under way at once.
_PAGE = 32
#: The spawns belong to so many tenants and sessions.
_TENANTS, _SESSIONS = 100, 1_000
#: Seconds after which a client counts as stuck.
_PATIENCE = 60

#: The life of a spawn that finds room and makes one call.
_VERBS: dict[str, Callable[[Gate, NewInstance], object]] = {
    "check_in": lambda gate, new: gate.check_in(new, "queue"),
    "follow": lambda gate, new: gate.follow(new),
    "acquire": lambda gate, new: calls.acquire(gate, calls.caller_of(new)),
    "settle": lambda gate, new: calls.settle(gate, calls.caller_of(new)),
    "release": lambda gate, new: gate.release(new.id, 1),
}


def measure(ground: Ground, samples: Samples) -> None:
    """PING as the floor, then the verbs, each sent by all clients at once."""
    verbs = _rehearse(ground)
    spawning = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(ground.plan.crowd_clients, mp_context=spawning) as clients:
        for _ in range(ground.plan.crowd_rounds):
            with ground.gate("crowd", plenty()) as gate:
                gate.declare(calls.RESOURCES)
                for verb, commands in verbs.items():
                    _run(ground, clients, f"gate.crowd.{verb}", commands, samples)


def _rehearse(ground: Ground) -> dict[str, Commands]:
    total = ground.plan.crowd_calls * ground.plan.crowd_clients
    news = [
        spawn_of(f"tenant-{number % _TENANTS}", f"session-{number % _SESSIONS}")
        for number in range(total)
    ]
    commands = {"ping": [pack(pack_head("PING"), 1, [])] * total}
    with ground.gate("crowd", plenty()) as gate:
        gate.declare(calls.RESOURCES)
        rehearsal = Rehearsal(gate)
        for verb, call in _VERBS.items():
            commands[verb] = rehearsal.take_down(functools.partial(call, gate), news)
    return commands


def _run(
    ground: Ground, clients: ProcessPoolExecutor, name: str, commands: Commands, samples: Samples
) -> None:
    """One round: all clients send their part of the commands, beginning together."""
    count = ground.plan.crowd_clients
    token = str(uuid.uuid4())
    futures = [
        clients.submit(send, ground.url, token, commands[number::count]) for number in range(count)
    ]
    for _ in range(count):
        _wait(ground.redis, f"here:{token}")
    spans: list[tuple[float, float]] = []

    def go() -> None:
        ground.redis.rpush(f"go:{token}", *["go"] * count)
        spans.extend(future.result(timeout=_PATIENCE) for future in futures)

    spent = metered(ground.redis, go)
    seconds = max(end for _, end in spans) - min(begin for begin, _ in spans)
    samples.add(name, [seconds / len(commands)])
    samples.note(f"{name}.server", spent.script_seconds * 1e6 / len(commands))
    samples.note(f"{name}.processor", spent.processor_seconds * 1e6 / len(commands))


def send(url: str, token: str, commands: Commands) -> tuple[float, float]:
    """A client, in a process of its own: when it began and ended, by the machine's clock."""
    with connect(url) as client:
        wire = Wire(client)
        client.rpush(f"here:{token}", "here")
        _wait(client, f"go:{token}")
        began = time.monotonic()
        for start in range(0, len(commands), _PAGE):
            wire.call_many(commands[start : start + _PAGE])
        ended = time.monotonic()
        wire.close()
    return began, ended


def _wait(client: redis.Redis, key: str) -> None:
    if client.blpop([key], timeout=_PATIENCE) is None:
        raise RuntimeError("a client of the crowd is stuck")
