"""Agents that are run both in a harness and by workers."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

from orchestrator import (
    AgentFailed,
    AsyncContext,
    Context,
    DeadlockDetected,
    Handle,
    NothingReceived,
    ResultPending,
    RetryPolicy,
    SpawnRequest,
    StepFailed,
)

AT_ONCE = RetryPolicy(first_delay=0.01, max_delay=0.01)
#: How often something was really done, by a name.
DONE: Counter[str] = Counter()


def do(name: str) -> int:
    """An effect that can be counted."""
    DONE[name] += 1
    return DONE[name]


def double(ctx: Context, n: int) -> int:
    return int(ctx.step("double", lambda: do("double") and 2 * n))


def tree(ctx: Context, n: int) -> list[int]:
    ctx.step("begin", do, "begin")
    children = [ctx.spawn("same.double", {"n": one}) for one in range(n)]
    results = ctx.wait(children)
    ctx.step("end", do, "end")
    return sorted([*results, sum(results)])


def many(ctx: Context, n: int) -> int:
    handles = ctx.spawn_many([SpawnRequest("same.double", {"n": one}) for one in range(n)])
    first = ctx.wait_at_least(2, handles)
    assert len({one.id for one in first}) == 2
    return sum(ctx.wait(handles))


def naps(ctx: Context) -> list[bool]:
    began = ctx.now()
    ctx.sleep(0.4)
    middle = ctx.now()
    ctx.sleep(0.01)
    return [(middle - began).total_seconds() >= 0.4, ctx.random() < 1, ctx.uuid().version == 4]


def impatient(ctx: Context) -> list[str]:
    nap = ctx.spawn("same.naps")
    found = []
    try:
        ctx.wait(nap, timeout=0.1)
    except ResultPending:
        found.append("pending")
    return [*found, *map(str, ctx.wait(nap))]


def fails_once(ctx: Context) -> int:
    before = ctx.step("before", do, "before")
    ctx.step("shaky", shaky)
    return int(before)


def shaky() -> str:
    if do("shaky") == 1:
        raise ConnectionError("the first time")
    return "well"


def tries_again(ctx: Context) -> str:
    return str(ctx.step("shaky", shaky, retry=AT_ONCE))


def loses_child(ctx: Context) -> list[str]:
    handles = [ctx.spawn("same.double", {"n": 1}), ctx.spawn("same.broken")]
    good, bad = ctx.wait(handles, return_exceptions=True)
    assert isinstance(bad, AgentFailed)
    return [str(good), bad.agent, str((bad.error or {})["message"])]


def broken(ctx: Context) -> None:
    raise ValueError("never works")


def fails_with_child(ctx: Context) -> int:
    ctx.step("begin", do, "begin")
    return int(ctx.wait(ctx.spawn("same.breaks_once")))


def breaks_once(ctx: Context) -> int:
    if do("breaks_once") == 1:
        raise ValueError("once")
    return 7


def gives_up_on_step(ctx: Context) -> str:
    try:
        ctx.step("hopeless", hopeless)
    except StepFailed as error:
        return f"{error.name}: {error.error['message']}"
    return "no error"


def hopeless() -> None:
    do("hopeless")
    raise ValueError("hopeless")


def counts_down(ctx: Context, left: int, so_far: int = 0) -> int:
    got = ctx.wait(ctx.spawn("same.double", {"n": left}))
    ctx.state[f"left {left}"] = got
    if left:
        ctx.continue_as_new(left=left - 1, so_far=so_far + got)
    return len(ctx.state) * 1000 + so_far + int(got)


def locked(ctx: Context) -> list[str]:
    children = [ctx.spawn("same.holder", {"name": one}) for one in "ab"]
    return sorted(ctx.wait(children))


def holder(ctx: Context, name: str) -> str:
    with ctx.lock("thing") as lock:
        assert ctx.shared.get("inside") is None
        ctx.shared.set("inside", name)
        ctx.sleep(0.3)
        assert lock.is_held
        ctx.shared.delete("inside")
        return name


def calls(ctx: Context) -> str:
    with ctx.call("llm", input_tokens=10) as call:
        answer = call.run(lambda: do("call") and "answer")
        call.settle(input_tokens=7)
    ctx.sleep(0.3)
    return str(answer)


async def gathers(ctx: AsyncContext) -> list[int]:
    await ctx.step("begin", do, "begin")

    async def one(n: int) -> int:
        return int(await ctx.wait(await ctx.spawn("same.double", {"n": n})))

    first = await one(1)
    return [first, *await asyncio.gather(one(2), one(3)), await one(4)]


def cancels(ctx: Context) -> list[str]:
    nap: Handle = ctx.spawn("same.dozes")
    before = nap.status()
    nap.cancel()
    return [str(before in ("queued", "running", "waiting")), nap.status()]


def dozes(ctx: Context) -> None:
    ctx.sleep(3600)


def asks(ctx: Context) -> list[Any]:
    friend = ctx.spawn("same.answers")
    replies = [ctx.request(friend, {"n": n}) for n in range(2)]
    friend.send("stop")
    try:
        ctx.receive(timeout=0.3)
    except NothingReceived:
        replies.append("nothing")
    return [*replies, ctx.wait(friend)]


def answers(ctx: Context) -> int:
    answered = 0
    while (message := ctx.receive()).body != "stop":
        ctx.reply(message, {"double": 2 * message.body["n"]})
        answered += 1
    return answered


def listens(ctx: Context, n: int) -> list[Any]:
    ctx.subscribe("news")
    children = [ctx.spawn("same.tells", {"n": one}) for one in range(n)]
    heard = sorted(ctx.receive(topic="news").body for _ in children)
    for child in children:
        child.signal("enough", "thanks")
    thanks = ctx.wait(children)
    return [heard, thanks, ctx.shared.get("told"), ctx.shared.version()]


def tells(ctx: Context, n: int) -> str:
    ctx.shared.update("told", lambda told: told + 1, 0)
    ctx.publish("news", n)
    return str(ctx.signal("enough"))


def graph(ctx: Context) -> list[Any]:
    first = SpawnRequest("same.double", {"n": 1})
    second = SpawnRequest("same.double", {"n": 2}, after=[first])
    broken_one = SpawnRequest("same.broken")
    never = SpawnRequest("same.double", {"n": 3}, after=[second, broken_one])
    always = SpawnRequest("same.double", {"n": 4}, after=[broken_one], on_failure="run")
    handles = ctx.spawn_many([first, second, broken_one, never, always])
    results = ctx.wait(handles, return_exceptions=True)
    return [one.code if isinstance(one, AgentFailed) else one for one in results]


def circles(ctx: Context) -> str:
    child = ctx.spawn("same.waits_for_parent", {"parent": ctx.id})
    return str(ctx.wait(child))


def waits_for_parent(ctx: Context, parent: str) -> str:
    try:
        return str(ctx.wait(ctx.handle(parent)))
    except DeadlockDetected as error:
        return " -> ".join(node.label for node in error.cycle)


NEVER = RetryPolicy.never()
#: By name: the function, and the options of its registration.
AGENTS: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    **{
        f"same.{one.__name__}": (one, {"retry": AT_ONCE})
        for one in (double, tree, many, naps, impatient, fails_once, tries_again, loses_child)
    },
    **{
        f"same.{one.__name__}": (one, {"retry": AT_ONCE})
        for one in (
            *(fails_with_child, counts_down, calls, gathers, cancels, dozes),
            *(asks, answers, listens, tells, graph, circles, waits_for_parent),
        )
    },
    **{
        f"same.{one.__name__}": (one, {"retry": NEVER})
        for one in (broken, breaks_once, gives_up_on_step, locked, holder)
    },
}

#: What is run, with its arguments.
ROOTS: list[tuple[str, dict[str, Any]]] = [
    ("same.tree", {"n": 3}),
    ("same.many", {"n": 4}),
    ("same.naps", {}),
    ("same.impatient", {}),
    ("same.fails_once", {}),
    ("same.tries_again", {}),
    ("same.loses_child", {}),
    ("same.fails_with_child", {}),
    ("same.gives_up_on_step", {}),
    ("same.counts_down", {"left": 3}),
    ("same.locked", {}),
    ("same.calls", {}),
    ("same.gathers", {}),
    ("same.cancels", {}),
    ("same.asks", {}),
    ("same.listens", {"n": 3}),
    ("same.graph", {}),
    ("same.circles", {}),
]
