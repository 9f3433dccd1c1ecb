"""Agents with a process of their own. What they learn of it, they return."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from orchestrator import Context, RetryPolicy, agent

ONCE = RetryPolicy.never()
MEMORY = 1024**3


@agent("isolated", isolate=True, memory_limit=MEMORY, retry=ONCE)
def isolated(ctx: Context, do: str, **values: Any) -> Any:
    """Does one of the things below."""
    return globals()[do](ctx, **values)


def tell(ctx: Context) -> dict[str, Any]:
    """What it knows of itself."""
    sys.stdout.write("a line for people\n")
    return {
        "id": ctx.id,
        "attempt": ctx.attempt,
        "pid": os.getpid(),
        "group": os.getpgid(0),
        "secrets": [name for name in os.environ if name.startswith("ORCHESTRATOR_")],
        "threads": threading.active_count(),
        "modules": [name for name in ("celery", "redis") if name in sys.modules],
    }


def eat(ctx: Context) -> int:
    """Wants more memory than it may have."""
    return len(bytearray(2 * MEMORY))


def die(ctx: Context, pid_in: str) -> None:
    """Is killed by somebody."""
    Path(pid_in).write_text(f"{os.getpid()}\n")
    os.kill(os.getpid(), signal.SIGKILL)


def leave(ctx: Context) -> None:
    """Ends its process without a word."""
    os._exit(7)


def hang(ctx: Context, pid_in: str, deaf: bool = False) -> None:
    """Does not come back."""
    if deaf:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Path(pid_in).write_text(f"{os.getpid()}\n")
    try:
        signal.pause()
    finally:
        Path(pid_in).with_name("tidy").touch()


def family(ctx: Context, ledger: str) -> list[Any]:
    """Steps, children, a lock, a call, over waits."""
    with Path(ledger).open("a") as file:
        file.write(f"{os.getpid()} {ctx.attempt}\n")
    first = ctx.step("pid", os.getpid)
    with ctx.lock("door") as lock:
        children = [ctx.spawn("add", {"a": n, "b": 0}) for n in range(3)]
        found = ctx.wait(children)
        with ctx.call("llm", input_tokens=1) as call:
            called = call.run(str.upper, "done")
            call.settle(input_tokens=2)
        return [first, found, called, lock.token > 0, os.getpid()]


def refuse(ctx: Context) -> str:
    """Catches what the gate refuses."""
    try:
        ctx.spawn("nobody")
    except Exception as error:
        return f"{type(error).__name__} {getattr(error, 'code', '')} {error}"
    return "spawned"


def fail(ctx: Context) -> None:
    """Fails because a child did."""
    ctx.wait(ctx.spawn("not-json"))
