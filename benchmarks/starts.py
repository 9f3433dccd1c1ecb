"""How long it takes from the call until the first line of what was called, idle and at load.

`ours` from the call of `spawn`: check-in, row, message, worker, begin. `bare` and `stock` from the
call of `apply_async`: message, worker. The worker processes of all three are up all the time.
"""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable

from benchmarks.samples import Samples, in_turns
from benchmarks.stage import Stage
from benchmarks.tasks import send

#: Seconds after which a start counts as lost, and the benchmark as failed.
_PATIENCE = 30

#: Starts `start` with the arguments key and sent, or `occupy` with the argument until.
Starter = Callable[..., object]


def starters(stage: Stage) -> dict[str, Starter]:
    """How each variant starts something, by the name of its series."""
    return {
        "ours": lambda name, **args: stage.orchestrator.spawn(name, args),
        "bare": lambda name, **args: send(stage.bare, name, **args),
        "stock": lambda name, **args: send(stage.stock, name, **args),
    }


def measure_idle(stage: Stage, samples: Samples) -> None:
    """One start at a time, with nothing else to do for anybody: the series `idle.*`."""
    variants = list(starters(stage).items())
    for _, starter in variants:
        _one_by_one(stage, starter, 5)
    for name, starter in in_turns(variants, stage.plan.idle_rounds):
        samples.add(f"idle.{name}", _one_by_one(stage, starter, stage.plan.idle_starts))


def _one_by_one(stage: Stage, starter: Starter, count: int) -> list[float]:
    key = _fresh("idle")
    taken = []
    for _ in range(count):
        # At no fixed distance, so that no clock of the workers can keep time with it.
        time.sleep(random.uniform(0.002, 0.008))
        starter("start", key=key, sent=time.time())
        taken += _collect(stage, key, 1)
    return taken


def measure_at_load(stage: Stage, samples: Samples) -> None:
    """Starts at a fixed rate while half of the slots are held: the series `load.*`.

    The rate does not wait for answers, so a slow start does not hide those that follow it.
    """
    variants = list(starters(stage).items())
    until = {name: _fresh("occupied") for name, _ in variants}
    for name, starter in variants:
        for _ in range(stage.plan.busy):
            starter("occupy", until=until[name])
        _one_by_one(stage, starter, 5)  # all of them have begun when these have
    for name, starter in in_turns(variants, stage.plan.load_rounds):
        samples.add(f"load.{name}", _at_rate(stage, starter))
    for name, _ in variants:
        stage.redis.rpush(until[name], *["go"] * stage.plan.busy)


def _at_rate(stage: Stage, starter: Starter) -> list[float]:
    key, plan = _fresh("load"), stage.plan
    began = time.time()
    for number in range(plan.load_starts):
        due = began + number / plan.load_rate
        time.sleep(max(0.0, due - time.time()))
        starter("start", key=key, sent=time.time())
    return _collect(stage, key, plan.load_starts)


def _collect(stage: Stage, key: str, count: int) -> list[float]:
    """Take so many measured times from a list."""
    taken: list[float] = []
    for _ in range(count):
        found = stage.redis.blpop([key], timeout=_PATIENCE)
        if found is None:
            raise RuntimeError(f"only {len(taken)} of {count} have started; see the workers' logs")
        taken.append(float(found[1]))
    return taken


def _fresh(name: str) -> str:
    return f"benchmark:{name}:{uuid.uuid4()}"
