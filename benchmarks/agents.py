"""The agents that are measured."""

from __future__ import annotations

import time

from benchmarks import work
from benchmarks.durable import agents as durable  # noqa: F401  # registers them too
from orchestrator import Context, agent


@agent("noop")
def noop(ctx: Context) -> None:
    """Nothing."""


@agent("start")
def start(ctx: Context, key: str, sent: float) -> None:
    """Says how long after `sent` it began."""
    began = time.time()
    work.tell(key, began - sent)


@agent("occupy")
def occupy(ctx: Context, until: str) -> None:
    """Keeps its slot for as long as the benchmark wants."""
    work.occupy(until)


@agent("count")
def count(ctx: Context, key: str, total: int) -> None:
    """A no-op that is counted."""
    work.count(key, total, time.time())
