"""Agents that do everything a death may come in between of, and write down what they do.

The ledger has a line for each action that took place: instance, attempt and name of the step.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from orchestrator import Context, RetryPolicy, SpawnRequest, agent

#: Deaths of workers count as failures; nobody is to be given up here.
STUBBORN = RetryPolicy(max_attempts=12, first_delay=0.01, max_delay=0.05)
#: Instances of one tree, without those that are spawned again.
LEAVES = 4


@agent("crash-root", retry=STUBBORN)
def root(ctx: Context, ledger: str, pool: str) -> int:
    """A tree, one after another, a lock over a pause, and answers that must not change."""
    name, at = str(ctx.uuid()), ctx.now().isoformat()
    first = ctx.step("open", act, ctx, ledger, "open", [name, at])
    branch = ctx.spawn("crash-branch", {"ledger": ledger, "pool": pool}, pool=pool)
    leaf = SpawnRequest("crash-leaf", {"ledger": ledger}, pool=pool)
    leaves = ctx.spawn_many([leaf, replace(leaf, after=[leaf])])
    total = sum(ctx.wait([branch, *leaves]))
    with ctx.lock(f"ledger-{pool}"):
        ctx.step("locked", act, ctx, ledger, "locked", 0)
        ctx.sleep(0.3)
    if first != [name, at]:
        raise AssertionError(f"{first} has become {[name, at]}")
    return int(ctx.step("close", act, ctx, ledger, "close", total))


@agent("crash-branch", retry=STUBBORN)
def branch(ctx: Context, ledger: str, pool: str) -> int:
    """Waits for any, then for all; one of its children fails for good the first time."""
    leaf = SpawnRequest("crash-leaf", {"ledger": ledger}, pool=pool)
    leaves = ctx.spawn_many([leaf, leaf])
    ctx.wait_any(leaves)
    brittle = ctx.spawn("crash-brittle", {"mark": f"{ledger}-{ctx.id}"}, pool=pool)
    return int(sum(ctx.wait([*leaves, brittle])))


@agent("crash-leaf", retry=STUBBORN)
def leaf(ctx: Context, ledger: str, begun: bool = False) -> int:
    """Begins anew once, fails once, then answers 1."""
    if not begun:
        ctx.step("prepare", act, ctx, ledger, "prepare", 0)
        ctx.continue_as_new(ledger=ledger, begun=True)
    ctx.step("before", act, ctx, ledger, "before", 0)
    ctx.step("flaky", fail_once, f"{ledger}-{ctx.id}")
    return int(ctx.step("after", act, ctx, ledger, "after", 1))


@agent("crash-brittle", retry=RetryPolicy.never())
def brittle(ctx: Context, mark: str) -> int:
    """Fails for good, the first of all that have this mark."""
    fail_once(mark)
    return 0


def act(ctx: Context, ledger: str, name: str, value: Any) -> Any:
    """The action of a step: a line in the ledger."""
    with Path(ledger).open("ab", buffering=0) as file:
        file.write(f"{ctx.id} {ctx.attempt} {name}\n".encode())
    return value


def fail_once(mark: str) -> None:
    """Raises, unless it did before."""
    try:
        os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    raise ConnectionError("the first time never works")
