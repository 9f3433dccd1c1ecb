"""The six proofs. Each takes a stage and raises `NotProved`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

from rich.markup import escape
from rich.tree import Tree

from examples.tour.claims import TENANT, NotProved, Stage, until
from orchestrator import (
    BreakerPolicy,
    CallRefused,
    Handle,
    Resource,
    SpawnRefused,
    State,
    TreeNode,
)

Proof = Callable[[Stage], None]


def three_agents(stage: Stage) -> None:
    """Three agents are spawned, run and complete."""
    handles = [stage.spawn("tour.work", {"seconds": 1.0}, "three") for _ in range(3)]
    until(lambda: all(_is(one, State.RUNNING) for one in handles), "all three run at once")
    stage.claim("all three are RUNNING at the same time", True)
    results = [one.result(timeout=20) for one in handles]
    stage.claim("all three are COMPLETED with their results", results == [1.0] * 3)
    for handle in handles:
        trail = [event.to_state for event in stage.orchestrator.events(handle.id)]
        stage.show(f"[dim]{handle.id}[/]  {' -> '.join(state.upper() for state in trail)}")
        stage.claim(
            "its audit trail has each step once", trail == ["queued", "running", "completed"]
        )


def deadlock(stage: Stage) -> None:
    """agent-B waits for agent-C and agent-C for agent-B: found as it closes, and named."""
    started = time.monotonic()
    handle = stage.spawn("agent-B", {}, "deadlock")
    message = handle.result(timeout=20)
    took = time.monotonic() - started
    stage.show(f"[yellow]{escape(message)}[/]")
    stage.claim(
        "the wait that would close the circle failed at once, with the whole path",
        "agent-B -> agent-C -> agent-B" in message,
    )
    noted = [
        event
        for node in _flat(stage.orchestrator.tree(handle.id))
        for event in stage.orchestrator.events(node.instance.id)
        if event.kind == "deadlock_detected"
    ]
    stage.claim("it is in the audit trail", len(noted) == 1)
    until(lambda: _have_ended(stage, handle), "both have ended")
    stage.claim(f"nobody hangs: both have ended, the first after {took:.2f} s", took < 10)


def rate_limit(stage: Stage) -> None:
    """60 calls a minute: four agents who all want more are slowed down, and none is refused."""
    # Nobody has declared it: 60 calls a minute are the default of every resource.
    args = {"resource": f"tour/model-{stage.run}", "calls": 3}
    handles = [stage.spawn("tour.caller", args, "rate") for _ in range(4)]
    times = sorted(moment for one in handles for moment in one.result(timeout=60))
    stage.claim("all 12 calls of 4 agents were made; none was refused", len(times) == 12)
    gaps = [after - before for before, after in pairwise(times)]
    stage.show("let through after " + ", ".join(f"{one - times[0]:.1f}" for one in times) + " s")
    burst = next((n for n, gap in enumerate(gaps, start=1) if gap > 0.5), len(times))
    stage.claim(f"{burst} at once, as the limit's burst allows, then one by one", burst <= 7)
    slow = gaps[burst:]
    stage.claim(
        "those are evenly spaced, about 1.1 s apart: " + ", ".join(f"{one:.2f}" for one in slow),
        all(0.7 <= one <= 2.0 for one in slow),
    )


def concurrency(stage: Stage) -> None:
    """At a limit of 2 the third agent is refused with CONCURRENT_LIMIT; raised, it runs."""
    scope = f"session:{TENANT}/{stage.session('pair')}"
    with _limit(stage, scope, 2):
        pair = [stage.spawn("tour.work", {"seconds": 30}, "pair") for _ in range(2)]
        until(lambda: all(_is(one, State.RUNNING) for one in pair), "two run")
        refusal = _refusal(stage, "pair")
        stage.show(f"[yellow]{refusal.code}[/] {escape(str(refusal))}")
        stage.claim(
            "the third is refused with CONCURRENT_LIMIT", refusal.code == "CONCURRENT_LIMIT"
        )
        stage.claim("at 2 of 2", (refusal.current, refusal.limit) == (2, 2))
        stage.claim("and told who holds them", {*refusal.holders} == {one.id for one in pair})
        third = stage.spawn("tour.work", {"seconds": 0.1}, "pair")
        why = stage.orchestrator.explain(third.id)
        stage.show(f"[yellow]explain[/] {escape(why.summary)}")
        stage.claim("one that waits in line is explained", why.constraints[0].kind == "session")
        stage.orchestrator.set_limit(scope, 3, set_by="the tour")
        stage.claim("with the limit raised to 3 it starts at once", third.result(20) == 0.1)
        for one in pair:
            one.cancel()


def breaker(stage: Stage) -> None:
    """A provider that fails is left alone: CLOSED -> OPEN -> HALF_OPEN -> CLOSED."""
    resource = f"tour/flaky-{stage.run}"
    # Like any other but for its times: the tour has less patience than a provider deserves.
    policy = BreakerPolicy(failures=5, cooldown=2.0, probes=3, ramp=1.0)
    stage.orchestrator.declare(Resource(resource, requests_per_minute=6_000, breaker=policy))
    states = [_ask(stage, resource, 1, is_down=False)]
    stage.claim("a call that goes well leaves it CLOSED", states[-1] == "closed")

    states.append(_ask(stage, resource, 5, is_down=True))
    stage.claim("5 failures one after another, and it is OPEN", states[-1] == "open")
    took, refusal = _fast_fail(stage, resource)
    stage.show(f"[yellow]{refusal.code}[/] {escape(str(refusal))}")
    stage.claim(f"every call is refused at once, here in {took * 1000:.1f} ms", took < 0.25)
    stage.claim("also in the workers", _ask_once(stage, resource) == "BREAKER_OPEN")

    until(lambda: _state(stage, resource) != "open", "the cooldown of 2 s is over")
    states.append(_state(stage, resource))
    stage.claim("after the cooldown it lets probes through: HALF_OPEN", states[-1] == "half_open")
    states.append(_ask(stage, resource, 3, is_down=False))
    stage.claim("3 probes went well, and it is CLOSED again", states[-1] == "closed")
    stage.show(" -> ".join(state.upper() for state in states))


def tree(stage: Stage) -> None:
    """A tree of agents, with its hierarchy."""
    topics = ["ships", "stars"]
    root = stage.spawn("tour.planner", {"topics": topics}, "tree")
    result = root.result(timeout=30)
    [node] = stage.orchestrator.tree(root.id)
    stage.show(_drawn(node, Tree(_label(node))))
    stage.claim(
        "each parent has the results of its own children",
        result == {topic: f"{topic}-1 + {topic}-2" for topic in topics},
    )
    shape = [(len(child.children), child.instance.depth) for child in node.children]
    stage.claim("1 planner, 2 researchers, 2 readers each", shape == [(2, 1), (2, 1)])
    stage.claim(
        "all 7 completed", all(one.instance.state == "completed" for one in _flat_nodes(node))
    )


PROOFS: dict[str, Proof] = {
    "spawning": three_agents,
    "deadlock": deadlock,
    "rate limit": rate_limit,
    "concurrency limit": concurrency,
    "circuit breaker": breaker,
    "execution tree": tree,
}


# --- helpers --------------------------------------------------------------------------------


def _is(handle: Handle, state: State) -> bool:
    return handle.status() is state


def _ask(stage: Stage, resource: str, times: int, *, is_down: bool) -> str:
    """Let agents ask so many times; the state of the breaker afterwards."""
    args = {"resource": resource, "is_down": is_down}
    expected = "503 Service Unavailable" if is_down else "answered"
    for _ in range(times):
        answer = stage.spawn("tour.asker", args, "breaker").result(timeout=20)
        if answer != expected:
            raise NotProved(f"asked {resource}, and was told {answer} instead of {expected}")
    return _state(stage, resource)


def _ask_once(stage: Stage, resource: str) -> str:
    args = {"resource": resource, "is_down": False}
    return str(stage.spawn("tour.asker", args, "breaker").result(timeout=20))


def _fast_fail(stage: Stage, resource: str) -> tuple[float, CallRefused]:
    """How long it takes to be refused, and the refusal."""
    started = time.monotonic()
    try:
        with stage.orchestrator.call(resource, tenant=TENANT):
            raise NotProved("the call was let through")
    except CallRefused as error:
        return time.monotonic() - started, error


def _state(stage: Stage, resource: str) -> str:
    [found] = [one for one in stage.orchestrator.breakers() if one.resource == resource]
    return found.state


def _refusal(stage: Stage, session: str) -> SpawnRefused:
    try:
        stage.spawn("tour.work", {"seconds": 0.1}, session, on_limit="refuse")
    except SpawnRefused as error:
        return error
    raise NotProved("the third was not refused")


@contextmanager
def _limit(stage: Stage, scope: str, value: float) -> Iterator[None]:
    stage.orchestrator.set_limit(scope, value, set_by="the tour")
    try:
        yield
    finally:
        stage.orchestrator.unset_limit(scope, set_by="the tour")


def _have_ended(stage: Stage, root: Handle) -> bool:
    return all(node.instance.state.is_terminal for node in _flat(stage.orchestrator.tree(root.id)))


def _flat_nodes(node: TreeNode) -> Iterator[TreeNode]:
    yield node
    for child in node.children:
        yield from _flat_nodes(child)


def _flat(nodes: Any) -> Iterator[TreeNode]:
    for node in nodes:
        yield from _flat_nodes(node)


def _drawn(node: TreeNode, drawn: Tree) -> Tree:
    for child in node.children:
        _drawn(child, drawn.add(_label(child)))
    return drawn


def _label(node: TreeNode) -> str:
    one = node.instance
    return f"{escape(one.agent)} [green]{one.state}[/] [dim]depth {one.depth}, {one.id}[/]"
