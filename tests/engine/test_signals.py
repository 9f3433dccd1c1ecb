"""A signal is waited for by its name, kept until then, and taken once."""

from __future__ import annotations

from typing import Any

from orchestrator.agents.async_context import AsyncContext
from orchestrator.agents.context import Context
from orchestrator.client.orchestrator import Orchestrator
from orchestrator.domain.errors import NothingReceived
from orchestrator.domain.lifecycle import State
from tests.engine.bench import Bench
from tests.engine.talk import done, until_it_waits


def approve(ctx: Context, names: list[str]) -> list[Any]:
    return [ctx.signal(name) for name in names]


def test_it_wakes_by_its_name_only(bench: Bench, service: Orchestrator) -> None:
    bench.agent("approve", approve)
    one = service.handle(bench.spawn("approve", {"names": ["legal", "money"]}))
    until_it_waits(bench, one.id)
    assert bench.row(one.id).reason == "WAITING_FOR_SIGNAL"
    one.signal("money", {"by": "kim"})
    assert bench.row(one.id).state is State.WAITING
    assert bench.glance(one.id).place == "suspended"
    one.signal("legal")
    assert done(bench, one.id) == [[None, {"by": "kim"}]]


def test_it_is_kept_in_order_and_taken_once(bench: Bench, service: Orchestrator) -> None:
    bench.agent("approve", approve)
    one = bench.spawn("approve", {"names": ["go"] * 3})
    for number in (1, 2):
        service.signal(one, "go", number)
    until_it_waits(bench, one)
    service.signal(one, "go", 3)
    assert done(bench, one) == [[1, 2, 3]]
    assert [found.state for found in service.messages(one)] == ["delivered"] * 3


def test_a_message_is_no_signal(bench: Bench, service: Orchestrator) -> None:
    def impatient(ctx: Context) -> list[Any]:
        try:
            return [ctx.signal("go", timeout=0)]
        except NothingReceived as nothing:
            return [str(nothing), ctx.receive(timeout=0).body]

    bench.agent("impatient", impatient)
    one = bench.spawn("impatient")
    service.send(one, "hello")
    [[said, body]] = done(bench, one)
    assert said == "No signal 'go' within 0 s. What comes later is kept until it is asked for."
    assert body == "hello"


def test_an_agent_gives_its_child_a_signal(bench: Bench) -> None:
    def parent(ctx: Context) -> Any:
        child = ctx.spawn("approve", {"names": ["go"]})
        child.signal("go", "yes")
        return ctx.wait(child)

    bench.agent("approve", approve)
    bench.agent("parent", parent)
    assert done(bench, bench.spawn("parent")) == [["yes"]]


def test_an_async_agent_does_all_of_it(bench: Bench, service: Orchestrator) -> None:
    async def talk(ctx: AsyncContext) -> list[Any]:
        await ctx.subscribe("news")
        expert = await ctx.spawn("adviser", {})
        answer = await ctx.request(expert, 20)
        approval = await ctx.signal("go")
        await ctx.broadcast("bye", to="subtree")
        await ctx.send(expert, "bye")
        await ctx.publish("news", "nobody else listens")
        news = await ctx.receive(topic="news")
        await ctx.shared.set("a", 1)
        counted = await ctx.shared.update("a", lambda value: value + 1)
        return [answer, approval, news.body, counted, await ctx.shared.all()]

    async def adviser(ctx: AsyncContext) -> str:
        request = await ctx.receive()
        await ctx.reply(request, request.body + 1)
        return str((await ctx.receive()).body)

    bench.agent("talk", talk)
    bench.agent("adviser", adviser)
    one = bench.spawn("talk", session="s")
    bench.work_until(lambda: bench.row(one).reason == "WAITING_FOR_SIGNAL", "it waits for it")
    service.signal(one, "go", True)
    bench.work_until(lambda: bench.row(one).reason == "WAITING_FOR_MESSAGE", "it waits for news")
    service.publish("s", "news", "today")
    assert done(bench, one) == [[21, True, "today", 2, {"a": 2}]]
