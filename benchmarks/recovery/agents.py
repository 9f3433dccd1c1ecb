"""The agents of the workers that are killed, and of the trees that are ended."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from orchestrator import Context, RetryPolicy, agent

#: The pool of the workers that are killed.
MORTAL = "mortal"


@agent("recovery-noop")
def noop(ctx: Context) -> None:
    """Nothing."""


@agent("recovery-hold", pool=MORTAL, retry=RetryPolicy(max_attempts=5, first_delay=0.01))
def hold(ctx: Context, folder: str) -> None:
    """Says which process it is in, and stays there; elsewhere it ends at once."""
    if ctx.attempt == 1:
        tell(ctx, folder)
        stay(ctx)


@agent("recovery-root", pool=MORTAL, retry=RetryPolicy.never())
def root(ctx: Context, folder: str) -> None:
    """The same with a child and a grandchild elsewhere; it is not tried again."""
    ctx.spawn("recovery-node", {"fan": [1]}, pool="default")
    tell(ctx, folder)
    stay(ctx)


@agent("recovery-node")
def node(ctx: Context, fan: list[int]) -> None:
    """Spawns so many, each with the rest of `fan`, and stays."""
    if fan:
        for _ in range(fan[0]):
            ctx.spawn("recovery-node", {"fan": fan[1:]})
    stay(ctx)


def tell(ctx: Context, folder: str) -> None:
    """The process id, in a file that is called as the instance."""
    path = Path(folder) / ctx.id
    path.with_suffix(".new").write_text(str(os.getpid()))
    path.with_suffix(".new").rename(path)


def stay(ctx: Context) -> None:
    """Until it is stopped; it looks four times a second."""
    while True:
        ctx.check()
        threading.Event().wait(0.25)
