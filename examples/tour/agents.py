"""The agents of the tour. Each does nothing but what its proof is about."""

from __future__ import annotations

import time
from typing import Any

from orchestrator import CallRefused, Context, DeadlockDetected, RetryPolicy, agent


class ProviderDown(Exception):
    """What a client library raises for an HTTP 503."""

    status_code = 503


@agent("tour.work")
def work(ctx: Context, seconds: float) -> float:
    """Be busy for so many seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        ctx.check()
        time.sleep(0.02)
    return seconds


@agent("agent-B", retry=RetryPolicy.never())
def agent_b(ctx: Context) -> str:
    """Ask agent-C for something, and wait for it."""
    return _wait_for(ctx, ctx.spawn("agent-C", {"asks": ctx.id}).id)


@agent("agent-C", retry=RetryPolicy.never())
def agent_c(ctx: Context, asks: str) -> str:
    """Before it answers, wait for the one that asks. That can never end."""
    return _wait_for(ctx, asks)


def _wait_for(ctx: Context, instance_id: str) -> str:
    try:
        return str(ctx.wait(ctx.handle(instance_id)))
    except DeadlockDetected as error:
        return str(error)


@agent("tour.caller")
def caller(ctx: Context, resource: str, calls: int) -> list[float]:
    """Call the model so many times; answers when each call was let through."""
    times = []
    for _ in range(calls):
        with ctx.call(resource):
            times.append(time.time())
    return times


@agent("tour.asker", retry=RetryPolicy.never())
def asker(ctx: Context, resource: str, is_down: bool) -> str:
    """Ask a provider something; answers what became of it."""
    try:
        with ctx.call(resource):
            if is_down:
                raise ProviderDown("503 Service Unavailable")
    except ProviderDown as error:
        return str(error)
    except CallRefused as error:
        return error.code
    return "answered"


@agent("tour.planner")
def planner(ctx: Context, topics: list[str]) -> dict[str, Any]:
    """Let a researcher look into each topic."""
    handles = [ctx.spawn("tour.researcher", {"topic": topic}) for topic in topics]
    return dict(zip(topics, ctx.wait(handles), strict=True))


@agent("tour.researcher")
def researcher(ctx: Context, topic: str) -> str:
    """Read two sources and weigh them against each other."""
    sources = ctx.wait([ctx.spawn("tour.reader", {"source": f"{topic}-{n}"}) for n in (1, 2)])
    return " + ".join(sources)


@agent("tour.reader")
def reader(ctx: Context, source: str) -> str:
    """Read one source."""
    time.sleep(0.05)
    return source
