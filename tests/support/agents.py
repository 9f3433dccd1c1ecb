"""Agents that worker processes of the tests run."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orchestrator import AsyncContext, Context, RetryPolicy, agent
from tests.support.waiting import wait_until


@agent("add")
def add(ctx: Context, a: int, b: int = 1) -> int:
    """The smallest agent."""
    return a + b


@agent("echo")
def echo(ctx: Context, **values: Any) -> dict[str, Any]:
    """Gives back whatever it is given."""
    return values


@agent("whoami")
def whoami(ctx: Context) -> dict[str, Any]:
    """What an instance knows of itself."""
    return {
        "id": ctx.id,
        "session": ctx.session,
        "tenant": ctx.tenant,
        "depth": ctx.depth,
        "attempt": ctx.attempt,
        "pid": os.getpid(),
    }


@agent("tree")
def tree(ctx: Context, fan: int, depth: int) -> int:
    """A tree of instances; answers how many there are in it."""
    if depth == 0:
        return 1
    children = [ctx.spawn("tree", {"fan": fan, "depth": depth - 1}) for _ in range(fan)]
    return 1 + int(sum(ctx.wait(children)))


@agent("async-sum")
async def async_sum(ctx: AsyncContext, numbers: list[int]) -> int:
    """An `async def` agent with children."""
    children = [await ctx.spawn("add", {"a": number, "b": 0}) for number in numbers]
    return int(sum(await ctx.wait(children)))


@agent("fail", retry=RetryPolicy(max_attempts=2, first_delay=0.05))
def fail(ctx: Context, message: str = "as asked") -> None:
    """Always fails."""
    raise ValueError(message)


@agent("fail-once", retry=RetryPolicy(max_attempts=3, first_delay=0.05))
def fail_once(ctx: Context) -> int:
    """Fails at its first attempt."""
    if ctx.attempt == 1:
        raise ConnectionError("the first time never works")
    return ctx.attempt


@agent("call-llm", resources=("llm",))
def call_llm(ctx: Context, tokens: int = 0) -> str:
    """Calls the resource `llm` once; answers the id of the call."""
    with ctx.call("llm", input_tokens=tokens) as call:
        call.settle(input_tokens=tokens // 2)
    return call.id


@agent("call-llm-async", resources=("llm",))
async def call_llm_async(ctx: AsyncContext, tokens: int = 0) -> str:
    """The same, awaited."""
    async with ctx.call("llm", input_tokens=tokens) as call:
        call.settle(input_tokens=tokens // 2)
    return call.id


@agent("tick", retry=RetryPolicy(first_delay=0.05))
def tick(ctx: Context, ledger: str, until: str) -> int:
    """Writes lines with its attempt, asking nobody anything, until a file exists."""
    while not Path(until).exists():
        with Path(ledger).open("a") as file:
            file.write(f"{ctx.attempt} {os.getpid()}\n")
        threading.Event().wait(0.02)
    return ctx.attempt


@agent("hold", retry=RetryPolicy(max_attempts=5))
def hold(ctx: Context, ledger: str, until: str) -> int:
    """Writes a line when it starts, and ends once the file `until` exists."""
    note(ledger, f"{ctx.id} {ctx.attempt} {os.getpid()}")
    stay_until(ctx, Path(until).exists)
    return ctx.attempt


@agent("hold-tree", retry=RetryPolicy(max_attempts=5))
def hold_tree(ctx: Context, ledger: str, until: str, fan: int) -> list[int]:
    """Spawns `fan` of `hold` and waits for them."""
    note(ledger, f"{ctx.id} {ctx.attempt} {os.getpid()}")
    return list(
        ctx.wait([ctx.spawn("hold", {"ledger": ledger, "until": until}) for _ in range(fan)])
    )


async def rest(seconds: float) -> None:
    """Take some time without blocking the loop."""
    await asyncio.sleep(seconds)


@agent("spin", retry=RetryPolicy.never())
def spin(ctx: Context, ledger: str) -> None:
    """Never looks whether it should stop."""
    note(ledger, ctx.id)
    while True:
        pass


@agent("block", retry=RetryPolicy.never())
def block(ctx: Context, ledger: str) -> None:
    """Blocks where nothing can reach it."""
    note(ledger, ctx.id)
    threading.Event().wait(3_600)


@agent("leave-children")
def leave_children(ctx: Context, ledger: str, until: str) -> str:
    """Ends without waiting for its child."""
    return ctx.spawn("hold", {"ledger": ledger, "until": until}).id


@agent("not-json", retry=RetryPolicy.never())
def not_json(ctx: Context) -> Any:
    """Returns what cannot be stored."""
    return {"when": {1, 2}}


@agent("kill-worker")
def kill_worker(ctx: Context) -> None:
    """Takes its whole worker process with it."""
    os.kill(os.getpid(), signal.SIGKILL)


def stay_until(ctx: Context, fact: Callable[[], object]) -> None:
    """Run until something is true, and leave where the attempt has to stop."""

    def look() -> object:
        ctx.check()
        return fact()

    wait_until(look, "what the agent stays for", seconds=3_600.0)


def note(ledger: str, line: str) -> None:
    """Append one line, in one write, so that processes do not mix theirs."""
    with Path(ledger).open("ab", buffering=0) as file:
        file.write(f"{line}\n".encode())


@agent("wait-for", retry=RetryPolicy.never())
def wait_for(ctx: Context, book: str) -> Any:
    """Waits for the instance whose id somebody writes into a file."""
    stay_until(ctx, lambda: Path(book).exists() and Path(book).read_text())
    return ctx.wait(ctx.handle(Path(book).read_text()))


@agent("hold-lock", retry=RetryPolicy.never())
def hold_lock(ctx: Context, name: str, ledger: str, until: str) -> int:
    """Holds a lock, having written its id and token, until the file `until` exists."""
    with ctx.lock(name) as lock:
        note(ledger, f"{ctx.id} {lock.token}")
        stay_until(ctx, Path(until).exists)
        return lock.token


@agent("desk")
def desk(ctx: Context, questions: int) -> dict[str, Any]:
    """Asks an expert, tells of it, and waits for somebody to say that it is fine."""
    expert = ctx.spawn("expert", {"questions": questions})
    answers = [ctx.request(expert, {"n": number}) for number in range(questions)]
    ctx.shared.set("answers", answers)
    said = ctx.signal("approval")
    return {"answers": answers, "said": said, "expert": ctx.wait(expert)}


@agent("expert", retry=RetryPolicy(max_attempts=100))
def expert(ctx: Context, questions: int) -> int:
    """Answers so many requests."""
    for _ in range(questions):
        request = ctx.receive()
        ctx.reply(request, request.body["n"] * 2)
    return questions


@agent("listen", retry=RetryPolicy(max_attempts=100))
async def listen(ctx: AsyncContext, count: int, ledger: str = "") -> list[Any]:
    """Receives so many messages; what it receives anew it also writes down."""
    found = []
    for _ in range(count):
        message = await ctx.receive()
        found.append(message.body)
    if ledger:
        note(ledger, f"{ctx.id} {found}")
    return found


@agent("doze")
def doze(ctx: Context, seconds: float) -> None:
    """Sleeps."""
    ctx.sleep(seconds)
