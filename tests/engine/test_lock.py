"""Danger: two hold the same lock, or nobody gets it any more."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest

from orchestrator.agents.async_context import AsyncContext
from orchestrator.agents.context import Context
from orchestrator.agents.lock import Lock
from orchestrator.domain.errors import DeadlockDetected, InvalidRequest
from orchestrator.domain.lifecycle import State
from orchestrator.domain.retry import RetryPolicy
from orchestrator.engine import rebuild, sweep
from orchestrator.engine.cancel import cancel
from tests.engine.bench import DISPATCH, LEASE, Bench
from tests.engine.test_deadlock import is_of_a_wait
from tests.support.waiting import wait_until


class Holders:
    """Agents `keep-lock` that hold a lock until they are let go on, and say what they see."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        #: by a key each, as a holder may begin before its id is known
        self.go_on: dict[str, threading.Event] = {}
        self.keys: dict[str, str] = {}
        self.locks: dict[str, Lock] = {}
        self.order: list[str] = []
        bench.agent("keep-lock", self._hold, retry=RetryPolicy.never())

    def _hold(self, ctx: Context, lock: str, key: str) -> list[Any]:
        with ctx.lock(lock) as held:
            self.locks[ctx.id] = held
            self.order.append(ctx.id)
            while not self.go_on[key].wait(0.005):
                ctx.check()
            return [held.token, held.is_held]

    def start(self, lock: str = "repo:main", **options: Any) -> str:
        """One that holds the lock, or waits for it, when this returns."""
        key = str(len(self.go_on))
        self.go_on[key] = threading.Event()
        one = self.bench.spawn("keep-lock", {"lock": lock, "key": key}, **options)
        self.keys[one] = key
        wait_until(
            lambda: one in self.locks or self.bench.glance(one).place == "suspended",
            "it holds or waits",
        )
        return one

    def end(self, *ids: str) -> None:
        """These may go on, and do."""
        for one in ids:
            self.go_on[self.keys[one]].set()
            wait_until(partial(self._has_ended, one), "it has ended")

    def _has_ended(self, one: str) -> bool:
        return self.bench.row(one).state.is_terminal


@pytest.fixture
def holders(bench: Bench) -> Iterator[Holders]:
    holders = Holders(bench)
    with bench.working():
        yield holders
        for event in holders.go_on.values():
            event.set()
    assert [one for one in bench.deps.gate.redis.scan_iter() if is_of_a_wait(one)] == []
    assert bench.deps.gate.held() == 0


def test_one_at_a_time_in_the_order_of_asking(bench: Bench, holders: Holders) -> None:
    ids = [holders.start() for _ in range(3)]
    assert holders.order == ids[:1]
    assert bench.deps.gate.held() == 1  # Those who wait have no slot
    assert bench.row(ids[1]).reason == "WAITING_FOR_LOCK"
    holders.end(*ids)
    assert holders.order == ids
    tokens = [bench.row(one).result[0] for one in ids]
    assert tokens == sorted(set(tokens))


def test_the_urgent_go_first(holders: Holders) -> None:
    first, low = holders.start(), holders.start(priority="low")
    high = holders.start(priority="high")
    holders.end(first, high, low)
    assert holders.order == [first, high, low]


def test_other_names_and_other_tenants_do_not_meet(holders: Holders) -> None:
    ids = [holders.start(), holders.start("repo:dev"), holders.start(tenant="other")]
    assert holders.order == ids
    holders.end(*ids)


def test_an_async_agent(bench: Bench, holders: Holders) -> None:
    async def careful(ctx: AsyncContext) -> int:
        async with ctx.lock("repo:main") as lock:
            return lock.token

    bench.agent("careful", careful)
    first = holders.start()
    one = bench.spawn("careful")
    wait_until(lambda: bench.glance(one).place == "suspended", "it waits")
    holders.end(first)
    wait_until(lambda: bench.row(one).state.is_terminal, "it has ended")
    assert bench.row(one).result > bench.row(first).result[0]


def end_by_cancelling(bench: Bench, one: str) -> None:
    cancel(bench.deps, one)
    bench.beat()


def end_by_losing_the_lease(bench: Bench, one: str) -> None:
    bench.advance(DISPATCH + 1)
    others = [run for run in bench.running.all() if run.id != one]
    bench.deps.gate.heartbeat("bench", "default", 100, [(run.id, run.attempt) for run in others])
    sweep.run_once(bench.deps)
    bench.beat()


@pytest.mark.parametrize("end", [end_by_cancelling, end_by_losing_the_lease])
def test_whoever_ends_lets_go(
    bench: Bench, holders: Holders, end: Callable[[Bench, str], None]
) -> None:
    first, second = holders.start(), holders.start()
    end(bench, first)
    wait_until(lambda: second in holders.locks, "the next one has it")
    holders.end(second)


def test_locks_in_another_order_are_a_deadlock_with_a_name(bench: Bench) -> None:
    barrier = threading.Barrier(2)

    def grab(ctx: Context, first: str, second: str) -> str:
        with ctx.lock(first):
            if ctx.attempt == 1:
                barrier.wait(20)
            try:
                with ctx.lock(second):
                    return "both"
            except DeadlockDetected as error:
                return str(error)

    bench.agent("agent-B", lambda ctx: grab(ctx, "x", "y"))
    bench.agent("agent-C", lambda ctx: grab(ctx, "y", "x"))
    ids = [bench.spawn("agent-B"), bench.spawn("agent-C")]
    bench.work_until(lambda: all(bench.row(one).state.is_terminal for one in ids), "both ended")
    refused, got = sorted([bench.row(one).result for one in ids], key=len, reverse=True)
    assert got == "both"
    assert "agent-B -> lock y -> agent-C -> lock x -> agent-B" in refused


def test_asking_again_for_what_one_holds_is_a_deadlock(bench: Bench) -> None:
    def greedy(ctx: Context) -> str:
        with ctx.lock("x"), pytest.raises(DeadlockDetected, match="greedy -> lock x -> greedy"):
            ctx.lock("x").__enter__()
        return "went on"

    bench.agent("greedy", greedy, retry=RetryPolicy.never())
    assert bench.execute(bench.spawn("greedy")).result == "went on"


def test_a_holder_that_waits_keeps_its_locks(bench: Bench, holders: Holders) -> None:
    def outer(ctx: Context) -> Any:
        with ctx.lock("repo:main") as lock:
            ctx.wait(ctx.spawn("add", {"a": 1}, pool="gpu"))
            return [lock.token, lock.is_held]

    bench.offer(pool="gpu", worker="gpu")
    bench.agent("outer", outer)
    one = bench.spawn("outer")
    [child] = wait_until(lambda: bench.take_messages("gpu"), "it has spawned its child")
    wait_until(lambda: bench.glance(one).place == "suspended", "it waits for its child")
    other = holders.start()
    assert other not in holders.locks
    bench.beat()
    bench.execute(*child)
    wait_until(lambda: bench.row(one).state.is_terminal, "it has ended")
    holders.end(other)
    token, is_held = bench.row(one).result
    assert is_held
    assert token < bench.row(other).result[0]


def test_a_retried_attempt_is_not_its_own_enemy(bench: Bench) -> None:
    def clumsy(ctx: Context) -> int:
        lock = ctx.lock("x")
        if ctx.attempt == 1:
            lock.__enter__()
            raise ConnectionError("dies holding it")
        with lock:
            return lock.token

    bench.agent("clumsy", clumsy, retry=RetryPolicy(max_attempts=2, first_delay=0.0))
    one = bench.spawn("clumsy")
    bench.work_until(lambda: bench.row(one).state.is_terminal, "it has ended")
    assert bench.row(one).state is State.COMPLETED


class TestEmptiedRedis:
    """Nobody gets what another holds, although nothing is known of it for a while."""

    def lose_everything(self, bench: Bench) -> None:
        bench.deps.gate.redis.flushall()
        rebuild.run_once(bench.deps)
        bench.offer()

    def test_a_holder_says_what_it_holds(self, bench: Bench, holders: Holders) -> None:
        first = holders.start()
        self.lose_everything(bench)
        second = holders.start()
        assert second not in holders.locks
        bench.beat()
        bench.advance(LEASE - 1)
        bench.beat()
        bench.advance(2)
        bench.beat()
        assert second not in holders.locks
        holders.end(first)
        wait_until(lambda: second in holders.locks, "the next one has it")
        holders.end(second)
        tokens = [bench.row(one).result for one in (first, second)]
        assert tokens[0][0] < tokens[1][0]
        assert tokens[0][1]

    def test_without_a_holder_it_is_free_after_a_lease(
        self, bench: Bench, holders: Holders
    ) -> None:
        bystander = holders.start("another")
        self.lose_everything(bench)
        second = holders.start()
        assert second not in holders.locks
        bench.beat()
        bench.advance(LEASE)
        bench.beat()
        wait_until(lambda: second in holders.locks, "it has the lock")
        holders.end(bystander, second)


def test_a_lost_lock_is_noticed(bench: Bench, holders: Holders) -> None:
    """Not that it should happen; a worker that was cut off learns of it late."""
    first = holders.start()
    gate = bench.deps.gate
    gate.redis.delete(*gate.redis.scan_iter("*:holder:*"))
    with ExitStack() as stack:
        second = holders.start()
        stack.callback(holders.end, second)
        bench.beat()
        assert not holders.locks[first].is_held
        assert holders.locks[second].is_held
    holders.end(first)


def test_names_must_be_printable(bench: Bench) -> None:
    def odd(ctx: Context) -> None:
        for name in ("", "a\x1fb", "x" * 201):
            with pytest.raises(InvalidRequest, match="cannot name a lock"):
                ctx.lock(name).__enter__()
        with pytest.raises(InvalidRequest, match="is not held now"):
            _ = ctx.lock("x").token

    bench.agent("odd", odd, retry=RetryPolicy.never())
    assert bench.execute(bench.spawn("odd")).state is State.COMPLETED
