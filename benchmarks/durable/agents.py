"""The agents that are measured."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from benchmarks import work
from orchestrator import Context, SpawnRequest, agent


@agent("durable-noop")
def noop(ctx: Context, key: str = "") -> float:
    """The time it ran at; told, if there is a key."""
    return _end(key)


@agent("durable-steps")
def steps(ctx: Context, key: str, count: int) -> None:
    """So many steps; tells how long each took."""
    began = time.time()
    for _ in range(count):
        ctx.step("step", _nothing)
    work.tell(key, (time.time() - began) / count)


@agent("durable-child")
def child(ctx: Context, key: str) -> None:
    """One child; tells when it went on, and how long after the child's end that was."""
    ended = ctx.wait(ctx.spawn("durable-noop"))
    work.tell(f"{key}:resumed", time.time() - ended)
    _end(key)


@agent("durable-signal")
def signal(ctx: Context, key: str) -> None:
    """Waits for a signal that carries when it was sent; tells how long that took."""
    sent: Any = ctx.signal("go")
    work.tell(key, time.time() - sent)


@agent("durable-doze")
def doze(ctx: Context, key: str, seconds: float, total: int) -> None:
    """Sleeps; the last of them tells."""
    ctx.sleep(seconds)
    work.count(key, total, time.time())


@agent("durable-fan")
def fan(ctx: Context, key: str, count: int) -> None:
    """So many children at once."""
    request = SpawnRequest("durable-noop")
    ctx.wait(ctx.spawn_many([request] * count))
    _end(key)


@agent("durable-count")
def count(ctx: Context, key: str, total: int) -> None:
    """A no-op that is counted."""
    work.count(key, total, time.time())


def _end(key: str) -> float:
    now = time.time()
    if key:
        work.tell(key, now)
    return now


def _nothing() -> None:
    """The action of a step."""


@agent("durable-self")
def itself(ctx: Context, key: str) -> None:
    """What its worker is: MiB of memory, and threads."""
    lines = Path("/proc/self/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    work.tell(f"{key}:mib", int(fields["VmRSS"].split()[0]) / 1024)
    work.tell(f"{key}:threads", int(fields["Threads"]))
