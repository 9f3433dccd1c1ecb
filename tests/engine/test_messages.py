"""Messages are received once and in order, whoever runs again; and sent once."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest

from orchestrator.agents.context import Context
from orchestrator.client.orchestrator import Orchestrator
from orchestrator.domain.errors import (
    NothingReceived,
    StepFailed,
    StoreUnavailable,
)
from orchestrator.domain.lifecycle import State
from orchestrator.domain.report import Report
from orchestrator.engine import reconcile, tidy
from orchestrator.engine.retry import retry
from orchestrator.engine.running import Stop, StopReason
from tests.engine.bench import Bench
from tests.engine.talk import NEVER, SOON, TIME_IS_UP, done, listener, until_it_waits


class TestReceiving:
    def test_what_was_sent_before_is_there_at_once(
        self, bench: Bench, service: Orchestrator
    ) -> None:
        one = listener(bench, 2)
        service.send(one, "first")
        service.send(one, "second")
        assert done(bench, one) == [["first", "second"]]
        assert [state for state, _ in bench.trail(one)] == ["queued", "running", "completed"]

    def test_what_comes_later_wakes(self, bench: Bench, service: Orchestrator) -> None:
        one = listener(bench, 3)
        for number in range(3):
            until_it_waits(bench, one)
            assert bench.row(one).reason == "WAITING_FOR_MESSAGE"
            assert service.send(one, number).recipients == 1
            assert bench.glance(one).place in ("queued", "dispatched")
        assert done(bench, one) == [[0, 1, 2]]

    def test_by_topic_others_stay(self, bench: Bench, service: Orchestrator) -> None:
        def choose(ctx: Context) -> list[Any]:
            ctx.subscribe("news")
            news = ctx.receive(topic="news")
            return [news.body, news.topic, news.sender, ctx.receive().body]

        bench.agent("choose", choose)
        one = bench.spawn("choose", session="s")
        until_it_waits(bench, one)
        service.send(one, "to you")
        assert bench.row(one).state is State.WAITING
        assert service.publish("s", "news", "to all").recipients == 1
        assert done(bench, one) == [["to all", "news", None, "to you"]]

    def test_a_timeout_of_nothing_only_looks(self, bench: Bench, service: Orchestrator) -> None:
        def poll(ctx: Context) -> list[Any]:
            found = []
            for _ in range(2):
                try:
                    found.append(ctx.receive(timeout=0).body)
                except NothingReceived as nothing:
                    found.append(nothing.code)
            return found

        bench.agent("poll", poll)
        one = bench.spawn("poll")
        service.send(one, None)
        assert done(bench, one) == [[None, "NOTHING_RECEIVED"]]

    def test_a_timeout_ends_the_wait_and_later_runs_are_told_the_same(
        self, bench: Bench, service: Orchestrator
    ) -> None:
        def patient(ctx: Context) -> list[Any]:
            try:
                ctx.receive(timeout=60)
            except TimeoutError as late:
                first = str(late)
            return [first, ctx.receive().body]

        bench.agent("patient", patient)
        one = bench.spawn("patient")
        until_it_waits(bench, one)
        with bench.deps.store.database.connection() as connection:
            connection.execute(TIME_IS_UP, (one,))
        bench.deps.gate.wake([one])
        again = (State.WAITING, 2)
        bench.work_until(
            lambda: (bench.row(one).state, bench.row(one).attempt) == again, "it waits for the next"
        )
        service.send(one, "late")
        [[first, second]] = done(bench, one)
        assert first == "No message within 60 s. What comes later is kept until it is asked for."
        assert second == "late"

    @pytest.mark.parametrize("timeout", [-1, "soon", float("nan"), True])
    def test_a_wrong_timeout_is_refused(self, bench: Bench, timeout: Any) -> None:
        one = listener(bench, timeout=timeout)
        bench.execute(one)
        row = bench.row(one)
        assert row.error is not None
        assert row.error["type"] == "InvalidRequest"


class TestRunningAgain:
    def test_a_retried_attempt_gets_its_messages_where_they_were(
        self, bench: Bench, service: Orchestrator
    ) -> None:
        """What it received before the failed operation is recorded; what it failed at is not."""
        tries = itertools.count(1)

        def work(ctx: Context) -> list[Any]:
            first = ctx.receive().body
            second = ctx.receive()
            if next(tries) == 1:
                raise ValueError("after both")
            return [first, second.body, second.redeliveries]

        bench.agent("work", work, retry=SOON)
        one = bench.spawn("work")
        service.send(one, "a")
        service.send(one, "b")
        assert done(bench, one) == [["a", "b", 0]]

    def test_what_a_rewind_took_back_is_received_again(
        self, bench: Bench, service: Orchestrator
    ) -> None:
        tries = itertools.count(1)

        def flaky() -> None:
            if next(tries) == 1:
                raise ConnectionError("once")

        def work(ctx: Context) -> list[Any]:
            failed = None
            try:
                ctx.step("flaky", flaky)
            except StepFailed as error:
                failed = error
            message = ctx.receive()
            if failed is not None:
                raise RuntimeError("it followed from the step") from failed
            return [message.body, message.redeliveries, ctx.receive().body]

        bench.agent("work", work, retry=SOON)
        one = bench.spawn("work")
        for body in "ab":
            service.send(one, body)
        assert done(bench, one) == [["a", 1, "b"]]

    def test_nothing_is_received_twice(self, bench: Bench, service: Orchestrator) -> None:
        """Its worker stops after each receipt in turn."""
        stops = itertools.count(1)

        def hear(ctx: Context) -> list[Any]:
            found = []
            for _ in range(3):
                found.append(ctx.receive().body)
                if next(stops) in (1, 3, 6):
                    [run] = [run for run in bench.running.all() if run.id == ctx.id]
                    run.stop(StopReason.WORKER_STOPPED)
                    ctx.check()
            return found

        bench.agent("hear", hear)
        one = bench.spawn("hear")
        for number in range(3):
            service.send(one, number)
        assert done(bench, one) == [[0, 1, 2]]
        assert bench.row(one).attempt == 4

    def test_nothing_is_sent_twice(self, bench: Bench, service: Orchestrator) -> None:
        """Its worker dies after each operation in turn; each next attempt goes on from there."""
        crashes = itertools.count(1)

        def chatty(ctx: Context, to: str) -> str:
            for number in range(3):
                ctx.send(to, number)
                if next(crashes) <= 3:
                    raise Stop(StopReason.WORKER_STOPPED)
            return "said"

        def stopped(ctx: Context, to: str) -> str:
            try:
                return chatty(ctx, to)
            except Stop as stop:
                [run] = [run for run in bench.running.all() if run.id == ctx.id]
                run.stop(stop.reason)
                raise

        bench.agent("chatty", stopped)
        to = listener(bench, 3)
        one = bench.spawn("chatty", {"to": to}, session="s")
        assert done(bench, one, to) == ["said", [0, 1, 2]]
        assert bench.row(one).attempt == 4
        assert len(service.messages(to)) == 3

    def test_a_send_whose_answer_was_lost_is_one_message(
        self, bench: Bench, service: Orchestrator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The transaction is done, the connection is lost: it is done again."""
        table = bench.deps.store.messages
        send = table.send
        losses = itertools.count(1)

        def lossy(*args: Any) -> Any:
            reply = send(*args)
            if next(losses) == 1:
                raise StoreUnavailable("STORE_UNAVAILABLE", "lost")
            return reply

        monkeypatch.setattr(table, "send", lossy)
        to = listener(bench, 1)
        bench.agent("say", lambda ctx: ctx.send(to, 1).recipients)
        one = bench.spawn("say", session="s")
        assert done(bench, one, to) == [1, [1]]
        assert next(losses) == 3
        assert len(service.messages(to)) == 1


class TestRemoving:
    def test_what_is_old_goes_once_nobody_is_left(
        self, bench: Bench, service: Orchestrator
    ) -> None:
        one, other = listener(bench), listener(bench)
        service.broadcast("s", "both")
        service.send(other, "more")
        assert done(bench, one) == [["both"]]
        eager = replace(bench.deps, message_retention=1e-6)
        done(bench, other)
        assert tidy.run_once(bench.deps) == Report("tidy")
        assert tidy.run_once(eager) == Report("tidy", removed=2)
        assert service.messages("s") == []


class TestDeadInstances:
    def test_one_that_is_run_again_takes_its_messages_over(
        self, bench: Bench, service: Orchestrator
    ) -> None:
        """Received behind its last good step, not received at all, and yet to be published."""
        to = listener(bench, 1)
        tries = itertools.count(1)

        def flaky() -> None:
            if next(tries) == 1:
                raise ConnectionError("once")

        def work(ctx: Context) -> list[Any]:
            ctx.subscribe("news")
            found = [ctx.receive().body]
            try:
                ctx.step("flaky", flaky)
            except StepFailed as error:
                ctx.receive()
                ctx.send(to, "the same")
                raise RuntimeError("it followed") from error
            found.append(ctx.receive().body)
            ctx.send(to, "the same")
            return [*found, ctx.receive().body, ctx.receive(topic="news").body]

        bench.agent("work", work, retry=NEVER)
        dead = bench.spawn("work", session="s")
        for body in "abc":
            service.send(dead, body)
        bench.work_until(lambda: bench.row(dead).state is State.FAILED, "it has failed")
        again = retry(bench.deps, dead)
        until_it_waits(bench, again)
        assert service.publish("s", "news", "d").recipients == 1
        assert done(bench, again, to) == [["a", "b", "c", "d"], ["the same"]]
        states = [found.state for found in service.messages(dead) if found.recipient == dead]
        assert states == ["delivered", "delivered", "dead"]
        assert len(service.messages(to)) == 1


class TestLostWakes:
    def test_a_message_that_woke_nobody_is_found(
        self, bench: Bench, service: Orchestrator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The sender dies after its commit: the row says that the wait is over."""
        one = listener(bench)
        until_it_waits(bench, one)
        with monkeypatch.context() as away:
            away.setattr(bench.deps.gate, "wake", lambda _ids: None)
            service.send(one, "late")
        assert bench.glance(one).place == "suspended"
        reconcile.run_once(bench.deps)
        assert done(bench, one) == [["late"]]
