"""What a session shares: nobody's change is lost, and a run that repeats sees what it saw."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from orchestrator.agents.context import Context
from orchestrator.client.orchestrator import Orchestrator
from orchestrator.domain.errors import InvalidRequest, VersionConflict
from tests.engine.bench import Bench
from tests.engine.talk import NEVER, SOON, done, until_it_waits


def test_services_and_agents_see_the_same(bench: Bench, service: Orchestrator) -> None:
    shared = service.session("s").shared
    shared.set("question", {"text": "why?"})

    def think(ctx: Context) -> Any:
        ctx.shared.set("answer", f"because of {ctx.shared.get('question')['text']}")
        return ctx.shared.all()

    bench.agent("think", think)
    one = bench.spawn("think", session="s")
    everything = {"question": {"text": "why?"}, "answer": "because of why?"}
    assert done(bench, one) == [everything]
    assert shared.all() == everything
    entry = shared.entry("answer")
    assert entry is not None
    assert (entry.version, entry.set_by) == (2, one)
    assert shared.at(1) == {"question": {"text": "why?"}}
    assert (shared.get("nothing"), shared.get("nothing", 3), shared.entry("nothing")) == (
        None,
        3,
        None,
    )


def test_many_agents_count_and_none_is_lost(bench: Bench, service: Orchestrator) -> None:
    bench.agent("count", lambda ctx: ctx.shared.update("n", lambda n: n + 1, default=0))
    ids = [bench.spawn("count", session="s") for _ in range(8)]
    assert sorted(done(bench, *ids)) == list(range(1, 9))
    assert service.session("s").shared.get("n") == 8


def test_a_run_that_repeats_sees_what_it_saw_and_writes_once(
    bench: Bench, service: Orchestrator
) -> None:
    shared = service.session("s").shared
    shared.set("price", 10)

    def buy(ctx: Context) -> list[Any]:
        price = ctx.shared.get("price")
        made = ctx.shared.set("bought at", price)
        missing = ctx.shared.entry("nothing")
        ctx.signal("go")
        return [price, made, missing, ctx.shared.get("price"), ctx.shared.version()]

    bench.agent("buy", buy)
    one = bench.spawn("buy", session="s")
    until_it_waits(bench, one)
    shared.set("price", 99)
    service.signal(one, "go")
    assert done(bench, one) == [[10, 2, None, 99, 3]]
    assert [value.value for value in shared.history("bought at")] == [10]


def test_a_conflict_is_told_again_to_a_run_that_repeats(
    bench: Bench, service: Orchestrator
) -> None:
    shared = service.session("s").shared
    shared.set("a", 1)
    shared.set("a", 2)

    def late(ctx: Context) -> list[Any]:
        try:
            ctx.shared.set("a", 3, expected_version=1)
        except VersionConflict as conflict:
            found = [conflict.current, conflict.expected]
        ctx.signal("go")
        return found

    bench.agent("late", late)
    one = bench.spawn("late", session="s")
    until_it_waits(bench, one)
    shared.set("a", 4)
    service.signal(one, "go")
    assert done(bench, one) == [[2, 1]]


def test_a_retry_after_a_conflict_decides_anew(bench: Bench, service: Orchestrator) -> None:
    shared = service.session("s").shared
    tries = itertools.count(1)

    def raise_it(ctx: Context) -> int:
        entry = ctx.shared.entry("a")
        if next(tries) == 1:
            shared.set("a", 7)
        return ctx.shared.set("a", 8, expected_version=0 if entry is None else entry.version)

    bench.agent("raise-it", raise_it, retry=NEVER)
    one = bench.spawn("raise-it", session="s")
    bench.execute(one)
    error = bench.row(one).error
    assert error is not None
    assert error["type"] == "VersionConflict"
    assert shared.get("a") == 7


def test_going_back_and_taking_away(bench: Bench, service: Orchestrator) -> None:
    shared = service.session("s").shared

    def plan(ctx: Context) -> list[Any]:
        ctx.shared.set("plan", "a")
        ctx.shared.set("extra", 1)
        ctx.shared.set("plan", "b")
        ctx.shared.delete("extra")
        made = ctx.shared.rollback(2)
        try:
            ctx.shared.rollback(99)
        except InvalidRequest as refused:
            return [made, refused.code, ctx.shared.at(3), ctx.shared.all()]
        return []

    bench.agent("plan", plan, retry=SOON)
    one = bench.spawn("plan", session="s")
    now = {"extra": 1, "plan": "a"}
    assert done(bench, one) == [[6, "INVALID_VERSION", {"extra": 1, "plan": "b"}, now]]
    assert shared.all() == now
    assert [value.is_deleted for value in shared.history("extra")] == [False, True, False]


def test_sessions_and_tenants_are_apart(bench: Bench, service: Orchestrator) -> None:
    service.session("theirs", tenant="them").shared.set("secret", 1)
    bench.agent("peek", lambda ctx: [ctx.shared.all(), ctx.shared.get("secret")])
    assert done(bench, bench.spawn("peek", session="ours")) == [[{}, None]]
    shared = service.session("theirs", tenant="us").shared
    for attempt in (
        lambda: shared.get("secret"),
        lambda: shared.all(),
        lambda: shared.at(0),
        lambda: shared.version(),
        lambda: shared.history("secret"),
        lambda: shared.set("secret", 2),
        lambda: shared.delete("secret"),
        lambda: shared.rollback(0),
    ):
        with pytest.raises(InvalidRequest, match="belongs to another tenant") as refused:
            attempt()
        assert refused.value.code == "SESSION_OF_ANOTHER_TENANT"
    assert service.session("theirs", tenant="them").shared.all() == {"secret": 1}


@pytest.mark.parametrize("key", ["", "a\nb", 7, "x" * 201])
def test_a_wrong_key_is_refused(service: Orchestrator, key: Any) -> None:
    with pytest.raises(InvalidRequest, match="cannot be a key"):
        service.session("s").shared.set(key, 1)


def test_a_value_that_cannot_be_stored_is_refused(service: Orchestrator) -> None:
    shared = service.session("s").shared
    with pytest.raises(InvalidRequest, match="NUL"):
        shared.set("a", "\x00")
    with pytest.raises(InvalidRequest, match="at most"):
        shared.set("a", "x" * 300_000)
    assert shared.version() == 0
