"""How many no-ops one worker process runs in a second, from the first call to the last end.

`ours` ends when PostgreSQL has the last end; the bare ones keep no ends and end with the last
no-op. Ours are spawned in batches; a bare task has no batch and is published one by one, while
the worker runs the first ones.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable

from celery import Celery

from benchmarks.samples import Samples, in_turns
from benchmarks.stage import Stage
from benchmarks.tasks import send
from orchestrator import SpawnRequest, State

_BATCH = 100
#: Seconds between looks whether all have ended: far below the length of a flood.
_LOOK = 0.005
#: Seconds after which a flood counts as stuck, and the benchmark as failed.
_PATIENCE = 120


def measure(stage: Stage, samples: Samples) -> None:
    """Fill the series `flood.*` with seconds per no-op, one sample a round."""
    variants: list[tuple[str, Callable[[int], float]]] = [
        ("ours", lambda size: _ours(stage, size)),
        ("bare", lambda size: _bare(stage, stage.bare, size)),
        ("stock", lambda size: _bare(stage, stage.stock, size)),
    ]
    for _, flood in variants:
        flood(_BATCH)
    for name, flood in in_turns(variants, stage.plan.flood_rounds):
        size = stage.plan.flood_size
        samples.add(f"flood.{name}", [flood(size) / size])


def _ours(stage: Stage, size: int) -> float:
    session = f"flood-{uuid.uuid4()}"
    request = SpawnRequest("count", {"key": session, "total": size}, session=session)
    began = time.time()
    for start in range(0, size, _BATCH):
        stage.orchestrator.spawn_many([request] * min(_BATCH, size - start))
    _last_ran(stage, session)
    while stage.deps.store.count_by_state(session).get(State.COMPLETED, 0) < size:
        if time.time() > began + _PATIENCE:
            raise RuntimeError("a flood did not end; see the worker's log")
        time.sleep(_LOOK)
    return time.time() - began


def _bare(stage: Stage, app: Celery, size: int) -> float:
    key = f"flood-{uuid.uuid4()}"
    began = time.time()
    for _ in range(size):
        send(app, "count", key=key, total=size)
    return _last_ran(stage, key) - began


def _last_ran(stage: Stage, key: str) -> float:
    """When the last no-op of a flood ran."""
    found = stage.redis.blpop([key], timeout=_PATIENCE)
    if found is None:
        raise RuntimeError("a flood did not end; see the worker's log")
    return float(found[1])
