"""Trees of all shapes, which write what they do to a ledger of their own.

What each has to answer is known beforehand, whatever dies meanwhile. The ledger is a file for each
process: a line is in the kernel's hands once it is written, so no death of a process takes it back.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

from orchestrator import (
    AgentCancelled,
    Context,
    NothingReceived,
    Resource,
    ResultPending,
    RetryPolicy,
    SpawnRefused,
    SpawnRequest,
    agent,
)
from workers import process

#: The folder of the ledgers.
LEDGER = "CHAOS_LEDGER"
#: Deaths of workers count as failures; nobody is to be given up here.
STUBBORN = RetryPolicy(max_attempts=1000, first_delay=0.01, max_delay=0.2)
API = Resource("chaos/api", requests_per_minute=100_000, concurrency=3, breaker=None)


def act(ctx: Context, name: str, value: Any = None) -> Any:
    """The action of a step: a line in the ledger of this process."""
    folder = Path(os.environ[LEDGER])
    line = f"{ctx.id} {ctx.attempt} {name} {time.time():.6f}\n".encode()
    file = os.open(folder / f"effects-{os.getpid()}", os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    try:
        os.write(file, line)
    finally:
        os.close(file)
    mine = folder / f"name-{os.getpid()}"
    if not mine.exists():
        # So that what the trail says of a worker can be told of a process.
        mine.write_text(process.current().host.worker)
    return value


def work(ctx: Context, seconds: float) -> None:
    """Take some time, stopping when told to."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        ctx.check()
        threading.Event().wait(0.01)


@agent("chaos-leaf", retry=STUBBORN)
def leaf(ctx: Context, value: int = 1, flaky: bool = False, takes: float = 0.02) -> int:
    """Two steps and some work between them; fails once if it is flaky."""
    ctx.step("before", act, ctx, "before")
    work(ctx, takes)
    if flaky and ctx.failures == 0:
        raise ConnectionError("the first time never works")
    return int(ctx.step("after", act, ctx, "after", value))


@agent("chaos-chain", retry=STUBBORN)
def chain(ctx: Context, length: int, pools: list[str]) -> int:
    """One below the other, from pool to pool."""
    ctx.step("open", act, ctx, "open")
    below = 0
    if length > 1:
        pool = pools[length % len(pools)]
        args = {"length": length - 1, "pools": pools}
        below = ctx.wait(ctx.spawn("chaos-chain", args, pool=pool))
    return int(ctx.step("close", act, ctx, "close", below + 1))


@agent("chaos-fan", retry=STUBBORN)
def fan(ctx: Context, width: int, pools: list[str]) -> int:
    """Many at once, of which every third fails once."""
    requests = [
        SpawnRequest("chaos-leaf", {"value": n, "flaky": n % 3 == 0}, pool=pools[n % len(pools)])
        for n in range(width)
    ]
    handles = ctx.spawn_many(requests)
    ctx.step("spawned", act, ctx, "spawned")
    if width > 1:
        ctx.wait_any(handles)
    return int(ctx.step("sum", act, ctx, "sum", sum(ctx.wait(handles))))


@agent("chaos-graph", retry=STUBBORN)
def graph(ctx: Context, width: int) -> int:
    """A first one, some after it, a last one after all of them."""
    first = SpawnRequest("chaos-leaf", {"value": 1})
    middle = [SpawnRequest("chaos-leaf", {"value": 1}, after=[first]) for _ in range(width)]
    last = SpawnRequest("chaos-leaf", {"value": 1}, after=middle)
    return int(sum(ctx.wait(ctx.spawn_many([first, *middle, last]))))


@agent("chaos-locked", retry=STUBBORN)
def locked(ctx: Context, name: str) -> int:
    """Something under a lock, over a pause without a slot."""
    with ctx.lock(name):
        ctx.step("in", act, ctx, "in")
        ctx.sleep(0.1)
        return int(ctx.step("out", act, ctx, "out", 1))


@agent("chaos-caller", retry=STUBBORN, resources=(API,))
def caller(ctx: Context, calls: int) -> int:
    """Some calls of a limited resource, with a step in each."""
    total = 0
    for number in range(calls):
        with ctx.call("chaos/api"):
            total += int(ctx.step(f"call-{number}", act, ctx, f"call-{number}", 1))
            work(ctx, 0.02)
    return total


@agent("chaos-talk", retry=STUBBORN)
def talk(ctx: Context, words: int) -> int:
    """Says so many words to a child, which answers with their sum."""
    child = ctx.spawn("chaos-listen", {"words": words})
    for number in range(words):
        ctx.send(child, number)
    return int(ctx.step("heard", act, ctx, "heard", ctx.wait(child)))


@agent("chaos-listen", retry=STUBBORN)
def listen(ctx: Context, words: int) -> int:
    """The sum of what it hears; messages of one sender come in order, each once."""
    heard = [int(ctx.receive().body) for _ in range(words)]
    if heard != list(range(words)):
        return -1
    return sum(heard)


@agent("chaos-signal", retry=STUBBORN)
def signalled(ctx: Context) -> str:
    """Waits for somebody outside, but not for ever."""
    ctx.step("open", act, ctx, "open")
    try:
        ctx.signal("go", timeout=6.0)
        said = "went"
    except NothingReceived:
        said = "left"
    return "went or left" if ctx.step("close", act, ctx, "close", said) else ""


@agent("chaos-impatient", retry=STUBBORN)
def impatient(ctx: Context) -> str:
    """Waits a moment for one that takes longer, then cancels it."""
    child = ctx.spawn("chaos-leaf", {"takes": 300.0})
    try:
        ctx.wait(child, timeout=0.3)
    except ResultPending:
        child.cancel()
    try:
        ctx.wait(child)
    except AgentCancelled:
        return "cancelled"
    return "too late"


@agent("chaos-thrifty", retry=STUBBORN)
def thrifty(ctx: Context, wants: int) -> int:
    """Spawns until its budget is used up; how many that are is known to the judge."""
    got = []
    for number in range(wants):
        try:
            got.append(ctx.spawn("chaos-leaf", {"value": number}))
        except SpawnRefused as refused:
            if refused.code != "BUDGET_EXCEEDED":
                raise
    ctx.wait(got)
    return int(ctx.step("got", act, ctx, "got", 1))


@agent("chaos-again", retry=STUBBORN)
def again(ctx: Context, rounds: int) -> int:
    """Begins anew so many times."""
    ctx.step(f"round-{rounds}", act, ctx, f"round-{rounds}")
    if rounds:
        ctx.continue_as_new(rounds=rounds - 1)
    return 0


@agent("chaos-leaves-behind", retry=STUBBORN)
def leaves_behind(ctx: Context) -> int:
    """Ends before its children, which go on."""
    ctx.spawn("chaos-leaf", {"takes": 0.5}, detached=True)
    ctx.spawn("chaos-leaf", {"takes": 0.5}, on_parent_end="detach")
    ctx.spawn("chaos-leaf", {"takes": 20.0})
    return int(ctx.step("left", act, ctx, "left", 1))


@agent("chaos-endless", retry=STUBBORN)
def endless(ctx: Context, depth: int) -> int:
    """A tree that lives until it is cancelled, or for some seconds."""
    if depth:
        ctx.wait(ctx.spawn_many([SpawnRequest("chaos-endless", {"depth": depth - 1})] * 2))
    else:
        work(ctx, 20.0)
    return 0
