"""Danger: a test of an agent passes although the agent does not work, or cannot be written."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import Any

import pytest

from orchestrator import (
    AgentCancelled,
    AgentFailed,
    AsyncContext,
    CallRefused,
    Context,
    InvalidRequest,
    InvalidSpawn,
    NonDeterministicAgent,
    NothingReceived,
    ResultPending,
    RetryPolicy,
    State,
    process_agent,
)
from orchestrator.domain.errors import ConfigurationError
from orchestrator.testing import Harness, StillWaiting


@pytest.fixture
def harness() -> Harness:
    return Harness()


def parent(ctx: Context, urls: list[str]) -> list[Any]:
    pages = ctx.wait([ctx.spawn("page", {"url": url}) for url in urls])
    return [ctx.step("count", len, pages), *pages]


def approved(ctx: Context) -> str:
    try:
        return f"by {ctx.signal('approval', timeout=3600)}"
    except NothingReceived:
        return "by nobody"


def test_stand_ins_run_for_children(harness: Harness) -> None:
    harness.stand_in("page", lambda ctx, url: url.upper())
    assert harness.run(parent, {"urls": ["a", "b"]}) == [2, "A", "B"]
    assert harness.spawned == [("page", {"url": "a"}), ("page", {"url": "b"})]
    root, *children = harness.instances
    assert {one.parent_id for one in children} == {root.id}
    assert [one.label for one in harness.steps(root.id)] == [
        "spawn 'page'",
        "spawn 'page'",
        "step 'count'",
    ]
    assert root.attempt == 2, "its wait has left the function"


def test_a_day_takes_no_time(harness: Harness) -> None:
    began = harness.now
    harness.run(lambda ctx: ctx.sleep(86_400))
    assert harness.now - began == timedelta(days=1)


def test_time_passes_as_the_test_says(harness: Harness) -> None:
    handle = harness.spawn(lambda ctx: ctx.sleep(60))
    assert handle.status() == State.QUEUED
    harness.advance(59)
    assert handle.status() == State.WAITING
    harness.advance(1)
    assert handle.status() == State.COMPLETED


def test_retries_wait_in_time_that_is_not_real(harness: Harness) -> None:
    tries = itertools.count(1)

    def shaky(ctx: Context) -> int:
        if next(tries) < 3:
            raise ConnectionError("not yet")
        return 3

    harness.stand_in("shaky", shaky, retry=RetryPolicy(first_delay=100.0, max_delay=1000.0))
    began = harness.now
    assert harness.run("shaky") == 3
    assert harness.now - began > timedelta(seconds=1)


def test_failures_come_with_their_own_error(harness: Harness) -> None:
    def broken(ctx: Context) -> None:
        raise LookupError("no such thing")

    harness.stand_in("broken", broken, retry=RetryPolicy.never())
    with pytest.raises(AgentFailed, match="no such thing") as caught:
        harness.run("broken")
    assert isinstance(caught.value.__cause__, LookupError)


def test_signals_and_messages_come_from_the_test(harness: Harness) -> None:
    handle = harness.spawn(approved)
    harness.work()
    assert handle.status() == State.WAITING
    harness.signal(handle, "approval", "ann")
    assert handle.result() == "by ann"
    receiver = harness.spawn(lambda ctx: ctx.receive().body)
    harness.send(receiver, [1, 2])
    assert receiver.result() == [1, 2]


def test_patience_ends_where_nothing_comes(harness: Harness) -> None:
    began = harness.now
    assert harness.run(approved) == "by nobody"
    assert harness.now - began == timedelta(hours=1)


def test_something_happens_later(harness: Harness) -> None:
    handle = harness.spawn(approved)
    harness.later(1800, lambda: harness.signal(handle, "approval", "bob"))
    began = harness.now
    assert handle.result() == "by bob"
    assert harness.now - began == timedelta(minutes=30)


def test_what_waits_for_ever_is_told(harness: Harness) -> None:
    with pytest.raises(StillWaiting, match=r"waits for signal 'approval'"):
        harness.run(lambda ctx: ctx.signal("approval"))


def test_callers_may_be_impatient_too(harness: Harness) -> None:
    handle = harness.spawn(lambda ctx: ctx.sleep(60))
    with pytest.raises(ResultPending):
        handle.result(timeout=10)
    handle.cancel()
    with pytest.raises(AgentCancelled):
        handle.result()


def test_a_crash_repeats_no_step(harness: Harness) -> None:
    done: list[str] = []

    def steps(ctx: Context) -> None:
        for name in "abc":
            ctx.step(name, done.append, name)

    crash = harness.crash(steps, at=1)
    harness.run(steps)
    assert crash.has_happened
    assert done == ["a", "b", "c"]
    assert harness.instances[0].attempt == 2


def test_a_crash_before_the_record_repeats_that_step(harness: Harness) -> None:
    done: list[str] = []

    def steps(ctx: Context) -> None:
        for name in "abc":
            ctx.step(name, done.append, name)

    harness.crash(steps, at=1, unrecorded=True)
    harness.run(steps)
    assert done == ["a", "b", "b", "c"]


@pytest.mark.parametrize("replay_always", [False, True])
def test_an_agent_that_is_not_the_same_twice_is_found(replay_always: bool) -> None:
    counter = itertools.count()

    def unsteady(ctx: Context) -> None:
        ctx.step(f"step {next(counter)}", lambda: None)
        if not replay_always:
            ctx.sleep(10)

    with pytest.raises(AgentFailed) as caught:
        Harness(replay_always=replay_always).run(unsteady)
    assert isinstance(caught.value.__cause__, NonDeterministicAgent)


def test_resources_are_free_unless_refused(harness: Harness) -> None:
    def caller(ctx: Context) -> str:
        try:
            with ctx.call("llm", input_tokens=10) as call:
                call.settle(input_tokens=4)
                return "answered"
        except CallRefused as error:
            return f"{error.code} {error.retry_after:g}"

    harness.refuse("llm", retry_after=7, times=1)
    assert harness.run(caller) == "RATE_LIMITED 7"
    assert harness.run(caller) == "answered"
    assert [(one.resource, one.amounts.input_tokens) for one in harness.calls] == [("llm", 4)]


def test_an_open_breaker_puts_it_back_in_line(harness: Harness) -> None:
    def caller(ctx: Context) -> str:
        with ctx.call("llm"):
            return "answered"

    harness.refuse("llm", "BREAKER_OPEN", retry_after=30, times=2)
    began = harness.now
    assert harness.run(caller) == "answered"
    assert harness.now - began == timedelta(seconds=60)
    assert harness.instances[0].failures == 0


def test_async_agents_run_too(harness: Harness) -> None:
    async def sleeper(ctx: AsyncContext) -> int:
        await ctx.sleep(3600)
        return int(await ctx.step("seven", lambda: 7))

    assert harness.run(sleeper) == 7


def test_polling_lets_others_run(harness: Harness) -> None:
    harness.stand_in("page", lambda ctx, url: url)

    def polls(ctx: Context) -> str:
        handle = ctx.spawn("page", {"url": "a"})
        while not handle.status().is_terminal:
            ctx.sleep(0.1)
        return str(handle.result())

    assert harness.run(polls) == "a"


def test_unknown_agents_are_told(harness: Harness) -> None:
    with pytest.raises(InvalidSpawn, match=r"harness.stand_in\('pgae'"):
        harness.run("pgae")


def test_programs_need_a_stand_in(harness: Harness) -> None:
    process_agent("a.program", command=["true"])
    with pytest.raises(ConfigurationError, match=r"harness.stand_in\('a.program'"):
        harness.run("a.program")


def test_only_known_refusals(harness: Harness) -> None:
    with pytest.raises(InvalidRequest, match="BREAKER_OPEN"):
        harness.refuse("llm", "CLOSED")


def test_the_same_test_is_the_same(harness: Harness) -> None:
    def rolls(ctx: Context) -> list[Any]:
        return [ctx.id, ctx.random(), str(ctx.uuid()), ctx.now().isoformat()]

    assert harness.run(rolls) == Harness().run(rolls)


def test_parents_take_their_children_along(harness: Harness) -> None:
    def leaver(ctx: Context) -> None:
        ctx.spawn("dozes", {"seconds": 60})
        ctx.spawn("dozes", {"seconds": 60}, detached=True)
        ctx.spawn("dozes", {"seconds": 60}, on_parent_end="detach")

    harness.stand_in("dozes", lambda ctx, seconds: ctx.sleep(seconds))
    harness.run(leaver)
    harness.advance(100)
    states = [one.state for one in harness.instances[1:]]
    assert states == [State.CANCELLED, State.COMPLETED, State.COMPLETED]
