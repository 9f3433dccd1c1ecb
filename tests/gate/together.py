"""Several processes that begin at the same moment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, TypeVar

from orchestrator.admission.gate import Gate
from tests.support.waiting import wait_until

Report = TypeVar("Report")

PROCESSES = 8


def wait_for_start(gate: Gate) -> None:
    """Say that this process is here, and wait until all are."""
    gate.redis.incr("here")
    gate.redis.blpop(["start"], timeout=30)


def all_at_once(
    work: Callable[..., Report], arguments: Sequence[tuple[Any, ...]], gate: Gate | None = None
) -> list[Report]:
    """What `work` reports from a process for each of these arguments.

    With a gate, they begin together: each calls `wait_for_start`.
    """
    # Forked from a process that has only imported what they need: imported once, not eight times.
    context = get_context("forkserver")
    context.set_forkserver_preload([work.__module__])
    with ProcessPoolExecutor(len(arguments), context) as pool:
        futures = [pool.submit(work, *one) for one in arguments]
        if gate is not None:
            everybody = str(len(arguments))
            wait_until(lambda: gate.redis.get("here") == everybody, "all are here", 60.0)
            gate.redis.rpush("start", *range(len(arguments)))
        return [future.result() for future in futures]
