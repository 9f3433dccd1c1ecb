"""Requests are answered, or it is told that they never will be; and nobody reaches too far."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from orchestrator.agents.context import Context
from orchestrator.client.orchestrator import Orchestrator
from orchestrator.domain.errors import (
    DeadlockDetected,
    InstanceNotFound,
    InvalidRequest,
    MessageRefused,
    NothingReceived,
)
from orchestrator.domain.ids import new_id
from orchestrator.domain.lifecycle import State
from orchestrator.engine import reconcile
from orchestrator.engine.cancel import cancel
from orchestrator.engine.retry import retry
from tests.engine.bench import Bench
from tests.engine.talk import NEVER, TIME_IS_UP, done, listener, until_it_waits


class TestRequests:
    def ask(self, bench: Bench, to: str, *, timeout: float | None = None) -> str:
        def ask(ctx: Context) -> Any:
            return ctx.request(to, {"n": 20}, timeout=timeout)

        bench.agent("ask", ask, retry=NEVER)
        return bench.spawn("ask", session="s")

    def double(self, bench: Bench) -> str:
        def double(ctx: Context) -> str:
            request = ctx.receive()
            ctx.reply(request, request.body["n"] * 2)
            assert request.sender is not None
            return request.sender

        bench.agent("double", double)
        return bench.spawn("double", session="s")

    def test_a_reply_comes_back(self, bench: Bench) -> None:
        expert = self.double(bench)
        one = self.ask(bench, expert)
        assert done(bench, one, expert) == [40, one]

    def test_one_slot_is_enough(self, bench: Bench) -> None:
        bench.limit(session_concurrency=1)
        self.test_a_reply_comes_back(bench)

    def test_an_end_without_a_reply_is_told(self, bench: Bench) -> None:
        bench.agent("deaf", lambda ctx: ctx.receive() and None)
        deaf = bench.spawn("deaf", session="s")
        one = self.ask(bench, deaf)
        bench.work_until(lambda: bench.row(one).state.is_terminal, "it has failed")
        error = bench.row(one).error
        assert error is not None
        assert "ended without a reply" in error["message"]

    def test_two_that_ask_each_other_are_a_deadlock(self, bench: Bench) -> None:
        book: dict[str, str] = {}

        def ask(ctx: Context, me: str, other: str) -> Any:
            book[me] = ctx.id
            other_id = ctx.receive().body
            return ctx.request(other_id, "you first")

        bench.agent("ask", ask, retry=NEVER)
        service = Orchestrator(bench.deps)
        ids = [bench.spawn("ask", {"me": a, "other": b}, session="s") for a, b in ("ab", "ba")]
        service.send(ids[0], ids[1])
        service.send(ids[1], ids[0])
        bench.work_until(lambda: all(bench.row(one).state.is_terminal for one in ids), "both ended")
        reasons = {bench.row(one).reason for one in ids}
        assert "DEADLOCK_DETECTED" in reasons

    def test_many_rounds_between_two_are_no_deadlock(self, bench: Bench) -> None:
        """Each is asked by the other right after it has replied."""

        def ping(ctx: Context, rounds: int) -> int:
            other = ctx.spawn("pong", {"rounds": rounds})
            total = 0
            for number in range(rounds):
                total += ctx.request(other, number)
                request = ctx.receive()
                ctx.reply(request, request.body + 1)
            return total

        def pong(ctx: Context, rounds: int) -> int:
            total = 0
            for number in range(rounds):
                request = ctx.receive()
                ctx.reply(request, request.body + 1)
                total += ctx.request(request.sender or "", number)
            return total

        bench.agent("ping", ping, retry=NEVER)
        bench.agent("pong", pong, retry=NEVER)
        one = bench.spawn("ping", {"rounds": 5})
        assert done(bench, one) == [15]

    def test_a_reply_that_nobody_was_told_of_is_found(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The one who replies dies between its commit and the gate."""

        def double(ctx: Context) -> None:
            request = ctx.receive()
            ctx.signal("go")
            ctx.reply(request, request.body["n"] * 2)
            ctx.sleep(1_000_000)

        bench.agent("double", double)
        other = bench.spawn("double", session="s")
        one = self.ask(bench, other)
        bench.work_until(lambda: bench.row(other).reason == "WAITING_FOR_SIGNAL", "it was asked")
        until_it_waits(bench, one)
        wake = bench.deps.gate.wake
        with monkeypatch.context() as away:
            away.setattr(bench.deps.gate, "wake", lambda ids: wake([x for x in ids if x != one]))
            away.setattr(bench.deps.gate, "answer", lambda *_: False)
            Orchestrator(bench.deps).signal(other, "go")
            until = "WAITING_FOR_TIME"
            bench.work_until(lambda: bench.row(other).reason == until, "it has replied")
        assert bench.row(one).state is State.WAITING
        reconcile.run_once(bench.deps)
        assert done(bench, one) == [40]

    def test_a_reply_finds_the_one_that_does_the_work_again(self, bench: Bench) -> None:
        def slow(ctx: Context) -> None:
            request = ctx.receive()
            ctx.signal("go")
            ctx.reply(request, "at last")

        bench.agent("slow", slow)
        other = bench.spawn("slow", session="s")
        one = self.ask(bench, other)
        bench.work_until(lambda: bench.row(other).reason == "WAITING_FOR_SIGNAL", "it is slow")
        until_it_waits(bench, one)
        cancel(bench.deps, one)
        again = retry(bench.deps, one)
        until_it_waits(bench, again)
        Orchestrator(bench.deps).signal(other, "go")
        assert done(bench, again, other) == ["at last", None]

    def test_after_a_timeout_nothing_is_left_of_the_wait(
        self, bench: Bench, service: Orchestrator
    ) -> None:
        """The one that was asked asks back later, and that is no circle."""

        def ask(ctx: Context, to: str) -> Any:
            try:
                ctx.request(to, "now", timeout=60)
            except NothingReceived as nothing:
                late = nothing.message
            ctx.reply(ctx.receive(), late)
            return late

        def slow(ctx: Context) -> Any:
            request = ctx.receive()
            ctx.signal("go")
            answer = ctx.request(request.sender or "", "still?")
            ctx.reply(request, "late")
            return answer

        bench.agent("ask", ask, retry=NEVER)
        bench.agent("slow", slow, retry=NEVER)
        other = bench.spawn("slow", session="s")
        one = bench.spawn("ask", {"to": other}, session="s")
        bench.work_until(lambda: bench.row(other).reason == "WAITING_FOR_SIGNAL", "it is slow")
        until_it_waits(bench, one)
        with bench.deps.store.database.connection() as connection:
            connection.execute(TIME_IS_UP, (one,))
        bench.deps.gate.wake([one])
        bench.work_until(lambda: bench.row(one).attempt == 2, "it was woken")
        until_it_waits(bench, one)
        service.signal(other, "go")
        said = f"No reply from {other} within 60 s. What comes later is kept until it is asked for."
        bench.work_until(lambda: bench.row(other).state.is_terminal, "it has asked back")
        assert done(bench, one) == [said]
        # Its reply came too late for the one who had asked.
        assert bench.row(other).error is None or "has ended" in str(bench.row(other).error)

    def test_a_deadlock_that_was_handled_is_told_again(
        self, bench: Bench, service: Orchestrator
    ) -> None:
        def child(ctx: Context, parent: str) -> list[str]:
            try:
                return [str(ctx.request(parent, 1))]
            except DeadlockDetected as deadlock:
                cycle = [node.id for node in deadlock.cycle]
            ctx.signal("go")
            return cycle

        def parent(ctx: Context) -> Any:
            return ctx.wait(ctx.spawn("child", {"parent": ctx.id}, pool="gpu"))

        bench.agent("child", child, retry=NEVER)
        bench.agent("parent", parent, retry=NEVER)
        one = bench.spawn("parent")
        until_it_waits(bench, one)
        [below] = [row.id for row in bench.deps.store.subtree(one) if row.id != one]
        bench.offer(1, pool="gpu", worker="gpu")
        bench.execute(*bench.take_messages("gpu")[0])
        assert bench.row(below).reason == "WAITING_FOR_SIGNAL"
        service.signal(below, "go")
        bench.execute(*bench.take_messages("gpu")[0])
        assert done(bench, one) == [[one, below]]

    def test_only_a_request_has_a_reply(self, bench: Bench, service: Orchestrator) -> None:
        def reply(ctx: Context) -> str:
            try:
                ctx.reply(ctx.receive(), 1)
            except InvalidRequest as refused:
                return refused.code
            return ""

        bench.agent("reply", reply)
        one = bench.spawn("reply")
        service.send(one, 1)
        assert done(bench, one) == ["NOT_A_REQUEST"]


class TestReach:
    def crowd(self, bench: Bench, count: int) -> list[str]:
        return [listener(bench) for _ in range(count)]

    @pytest.mark.parametrize(("to", "reached"), [("session", 3), ("subtree", 1)])
    def test_a_broadcast_reaches_all_others(self, bench: Bench, to: Any, reached: int) -> None:
        def call_out(ctx: Context) -> int:
            ctx.spawn("echo", pool="gpu")
            return ctx.broadcast("hear", to=to).recipients

        bench.agent("call-out", call_out)
        self.crowd(bench, 2)
        one = bench.spawn("call-out", session="s")
        assert bench.execute(one).result == reached

    def test_a_service_reaches_a_session_and_a_subtree(
        self, bench: Bench, service: Orchestrator
    ) -> None:
        ids = self.crowd(bench, 3)
        for one in ids:
            until_it_waits(bench, one)
        assert service.broadcast("s", "all").recipients == 3
        assert done(bench, *ids) == [["all"]] * 3
        other = listener(bench)
        assert service.broadcast(other, "you").recipients == 1
        assert done(bench, other) == [["you"]]

    def test_an_agent_stays_in_its_session(self, bench: Bench) -> None:
        stranger = bench.spawn("echo", session="other")
        codes: list[str] = []

        def stray(ctx: Context) -> None:
            for say in (
                lambda: ctx.send(stranger, 1),
                lambda: ctx.handle(stranger).send(1),
                lambda: ctx.handle(stranger).signal("go"),
                lambda: ctx.request(stranger, 1),
                lambda: ctx.send(new_id(), 1),
            ):
                try:
                    say()
                except (MessageRefused, InstanceNotFound) as refused:
                    codes.append(refused.code)

        bench.agent("stray", stray, retry=NEVER)
        bench.execute(bench.spawn("stray", session="s"))
        assert codes == ["RECIPIENT_OF_ANOTHER_SESSION"] * 4 + ["INSTANCE_NOT_FOUND"]
        assert Orchestrator(bench.deps).messages("other") == []

    def test_a_service_stays_in_the_tenant_it_names(
        self, bench: Bench, service: Orchestrator
    ) -> None:
        one = bench.spawn("echo", session="theirs", tenant="them")
        attempts: list[Callable[[], object]] = [
            lambda: service.send(one, 1, tenant="us"),
            lambda: service.signal(one, "go", tenant="us"),
            lambda: service.broadcast(one, 1, tenant="us"),
            lambda: service.broadcast("theirs", 1, tenant="us"),
            lambda: service.publish("theirs", "news", 1, tenant="us"),
            lambda: service.session("theirs", tenant="us").broadcast(1),
            lambda: service.session("theirs", tenant="us").messages(),
        ]
        for attempt in attempts:
            with pytest.raises((MessageRefused, InvalidRequest), match="another tenant"):
                attempt()
        assert service.messages(one) == []
        assert service.send(one, 1, tenant="them").recipients == 1

    def test_an_ended_one_is_refused(self, bench: Bench, service: Orchestrator) -> None:
        one = bench.spawn("add")
        bench.execute(one)
        attempts: list[Callable[[], object]] = [
            lambda: service.send(one, 1),
            lambda: service.signal(one, "go"),
        ]
        for attempt in attempts:
            with pytest.raises(MessageRefused, match="has ended and receives nothing") as refused:
                attempt()
            assert (refused.value.code, refused.value.recipient) == ("RECIPIENT_ENDED", one)

    def test_a_key_is_one_message(self, bench: Bench, service: Orchestrator) -> None:
        one = listener(bench)
        first = service.send(one, 1, idempotency_key="k")
        assert service.send(one, 1, idempotency_key="k") == first
        assert service.signal(one, "go", 1, idempotency_key="k") != first
        with pytest.raises(MessageRefused, match="new key") as refused:
            service.send(one, 2, idempotency_key="k")
        assert refused.value.code == "IDEMPOTENCY_CONFLICT"
        assert len(service.messages(one)) == 2
