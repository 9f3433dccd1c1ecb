"""What calls cost the caller, one after the other from one process, on an idle system.

Spawns go to a pool that claims to have room and that nobody reads, so no worker competes for the
processors while the caller is measured. The bare tasks go to the queue of nobody likewise.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace

from benchmarks.samples import Samples, in_turns, timed
from benchmarks.stage import Stage
from orchestrator import SpawnRequest, State
from orchestrator.engine.prepare import prepare
from orchestrator.store.store import Ending

#: A pool without workers.
NOBODY = "nobody"

_REQUEST = SpawnRequest("noop", pool=NOBODY)
_BATCH = 100


def measure(stage: Stage, samples: Samples) -> None:
    """Fill the series `ping`, `commit`, `floor`, `publish`, `spawn*` and those of single verbs."""
    stage.database.execute(
        "CREATE TABLE floor (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, note text)"
    )
    parts = (_floor, _publish, _spawn, _batches, _verbs)
    for part in parts:
        part(stage, Samples())  # the first calls connect, load scripts and fill caches
    for part in in_turns(parts, stage.plan.client_rounds):
        part(stage, samples)
    stage.deps.gate.leave(NOBODY)


def _floor(stage: Stage, samples: Samples) -> None:
    """One round trip to Redis, one small durable row in PostgreSQL, and one after the other.

    The last is no sum of the others: servers that are called in turns are colder each time.
    """
    calls = range(stage.plan.client_calls)

    def ping(_: int) -> None:
        stage.redis.ping()

    def commit(call: int) -> None:
        stage.database.execute("INSERT INTO floor (note) VALUES (%s)", [call])

    def both(call: int) -> None:
        ping(call)
        commit(call)

    samples.add("ping", timed(ping, calls))
    samples.add("commit", timed(commit, calls))
    samples.add("floor", timed(both, calls))


def _publish(stage: Stage, samples: Samples) -> None:
    calls = range(stage.plan.client_calls)
    task = stage.bare.tasks["noop"]
    samples.add("publish", timed(lambda _: task.apply_async(queue=NOBODY), calls))
    _drop_messages(stage, NOBODY)


def _spawn(stage: Stage, samples: Samples) -> None:
    """Spawns, and then the rest of their lives as a worker asks for it."""
    _offer(stage)
    ids: list[str] = []
    calls = range(stage.plan.client_calls)
    spawn = stage.orchestrator.spawn
    samples.add("spawn", timed(lambda _: ids.append(spawn("noop", pool=NOBODY).id), calls))
    store, gate = stage.deps.store, stage.deps.gate
    done = Ending(State.COMPLETED, result="null")
    samples.add("begin", timed(lambda one: store.begin(one, 1, NOBODY), ids))
    samples.add("settle", timed(lambda one: store.settle(one, 1, done), ids))
    samples.add("release", timed(lambda one: gate.release(one, 1), ids))
    _drop_messages(stage, stage.deps.gate.queues(NOBODY)[0])


def _batches(stage: Stage, samples: Samples) -> None:
    _offer(stage)
    ids: list[str] = []

    def spawn_many(requests: Sequence[SpawnRequest]) -> None:
        ids.extend(handle.id for handle in stage.orchestrator.spawn_many(requests))

    taken = timed(spawn_many, [[_REQUEST] * _BATCH])
    samples.add("spawn_many", [seconds / _BATCH for seconds in taken])
    _forget(stage, ids)


def _verbs(stage: Stage, samples: Samples) -> None:
    """The gate's two verbs of a spawn, and the row, each by itself."""
    _offer(stage)
    gate, store = stage.deps.gate, stage.deps.store
    news = [prepare(stage.deps, _repeatable()) for _ in range(stage.plan.client_calls)]
    samples.add("check_in", timed(lambda new: gate.check_in(new, "queue"), news))
    samples.add("record", timed(store.record, news))
    samples.add("follow", timed(gate.follow, news))
    _forget(stage, [new.id for new in news])


def _repeatable() -> SpawnRequest:
    """A request with a key of its own: the gate cannot take a short cut for it."""
    return replace(_REQUEST, idempotency_key=str(uuid.uuid4()))


def _offer(stage: Stage) -> None:
    """Claim room in the pool of nobody; the claim holds for the time of a lease."""
    stage.deps.gate.heartbeat(NOBODY, NOBODY, 1_000_000, [])


def _forget(stage: Stage, ids: Sequence[str]) -> None:
    """Leave nothing of these instances that later rounds would have to look at."""
    stage.deps.store.cancel(ids, "CANCELLED", "PARENT_ENDED")
    for one in ids:
        stage.deps.gate.release(one, 1)
    _drop_messages(stage, stage.deps.gate.queues(NOBODY)[0])


def _drop_messages(stage: Stage, queue: str) -> None:
    """Empty a Celery queue: one list for each priority, the first under the queue's own name."""
    names = [queue, *(f"{queue}\x06\x16{level}" for level in range(1, 10))]
    stage.redis.delete(*names)
