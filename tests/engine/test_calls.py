"""Calls of resources: each waits for its turn, is settled once, and tells all how it went."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from orchestrator import Orchestrator
from orchestrator.admission.calls import Caller
from orchestrator.agents.async_context import AsyncContext
from orchestrator.agents.context import Context
from orchestrator.domain.call import Amounts, CallRecord, Outcome
from orchestrator.domain.errors import CallRefused, InvalidRequest, SpawnRefused
from orchestrator.domain.lifecycle import State
from orchestrator.domain.provider import Hint
from orchestrator.domain.resource import BreakerPolicy, Resource
from orchestrator.domain.retry import RetryPolicy
from orchestrator.engine import call as calls
from orchestrator.engine import rebuild, resources
from orchestrator.engine.call import Wish
from orchestrator.engine.explain import explain
from orchestrator.engine.running import StopReason
from tests.engine.bench import LEASE, Bench
from tests.support.waiting import wait_until

LLM = Resource(
    "llm", requests_per_minute=600, input_tokens_per_minute=6_000, output_tokens_per_minute=6_000
)


class Overloaded(Exception):  # as client libraries name them
    """What a client library raises: a status, and a response with headers."""

    def __init__(self, status: int, **headers: str) -> None:
        super().__init__(str(status))
        self.status_code = status
        self.response = self
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


@pytest.fixture
def client(bench: Bench) -> Orchestrator:
    """A service beside the bench's worker; the resource is declared."""
    client = Orchestrator(bench.deps)
    client.declare(LLM)
    return client


def _level(client: Orchestrator, name: str, resource: str = "llm") -> float:
    [found] = [one for one in client.breakers() if one.resource == resource]
    return found.levels[name]


def _ledger(bench: Bench, instance_id: str) -> list[CallRecord]:
    return bench.deps.store.resources.calls_of(instance_id)


def test_an_agent_calls_and_the_ledger_knows(bench: Bench, client: Orchestrator) -> None:
    def ask(ctx: Context) -> str:
        with ctx.call("llm", input_tokens=1200, output_tokens=800, usd=0.5) as call:
            call.settle(input_tokens=1180, output_tokens=412)
        return call.id

    bench.agent("ask", ask)
    done = bench.execute(bench.spawn("ask"))
    [record] = _ledger(bench, done.id)
    assert (record.id, record.outcome, record.agent) == (done.result, Outcome.SUCCESS, "ask")
    assert record.amounts == Amounts(1, 1180, 412, 0.5)
    assert (record.attempt, record.session) == (1, done.session)
    assert record.started_at <= record.ended_at
    assert _level(client, "input_tokens") == pytest.approx(320, abs=100)


def test_an_async_agent_calls_too(bench: Bench, client: Orchestrator) -> None:
    async def ask(ctx: AsyncContext) -> str:
        async with ctx.call("llm", input_tokens=10) as call:
            call.settle(input_tokens=7)
        return call.id

    bench.agent("ask", ask)
    done = bench.execute(bench.spawn("ask"))
    [record] = _ledger(bench, done.id)
    assert (record.id, record.amounts.input_tokens) == (done.result, 7)


def test_what_an_instance_spent_is_known_to_the_fair_queue(
    bench: Bench, client: Orchestrator
) -> None:
    spent: list[Any] = []

    def ask(ctx: Context) -> None:
        for _ in range(2):
            with ctx.call("llm", input_tokens=100) as call:
                call.settle(input_tokens=30, output_tokens=5)
        shard = bench.deps.gate.shards[0]
        spent.append(shard.redis.hget(shard.key("instance", ctx.id), "spent"))

    bench.agent("ask", ask)
    assert bench.execute(bench.spawn("ask")).state is State.COMPLETED
    assert spent == ["70"]


def test_a_service_calls_and_a_settled_call_is_settled_once(
    bench: Bench, client: Orchestrator
) -> None:
    with client.call("llm", tenant="t", input_tokens=1000) as call:
        call.settle(input_tokens=100)
    before = _level(client, "input_tokens")
    caller = Caller(call.id, "llm", "t")
    bench.deps.gate.settle_call(caller, Outcome.SUCCESS, {"input_tokens": 1})
    assert _level(client, "input_tokens") <= before + 100
    assert bench.deps.calls._calls == set()


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (Overloaded(500), Outcome.TRANSIENT),
        (Overloaded(529), Outcome.TRANSIENT),
        (Overloaded(429), Outcome.RATE_LIMITED),
        (Overloaded(400), Outcome.CALLER),
        (TimeoutError(), Outcome.TRANSIENT),
        (ConnectionResetError(), Outcome.TRANSIENT),
        (KeyError("bug"), Outcome.CALLER),
    ],
    ids=repr,
)
def test_an_exception_says_whose_fault_it_was(
    bench: Bench, client: Orchestrator, error: Exception, outcome: Outcome
) -> None:
    def ask(ctx: Context) -> None:
        with ctx.call("llm", input_tokens=100):
            raise error

    bench.agent("ask", ask, retry=RetryPolicy.never())
    failed = bench.execute(bench.spawn("ask"))
    assert failed.state is State.FAILED
    [record] = _ledger(bench, failed.id)
    assert record.outcome is outcome
    # Who is turned away at the door has used nothing.
    assert record.amounts.input_tokens == (0 if outcome is Outcome.RATE_LIMITED else 100)


def test_headers_lower_what_is_left_for_all(client: Orchestrator) -> None:
    with client.call("llm") as call:
        call.observe({"Anthropic-RateLimit-Input-Tokens-Remaining": "7", "x": "y"})
    assert _level(client, "input_tokens") < 100
    with pytest.raises(Overloaded), client.call("llm"):
        raise Overloaded(429, retry_after="20", date="Sat, 21 Nov 2026 12:00:00 GMT")
    with pytest.raises(CallRefused) as caught, client.call("llm", on_limit="refuse"):
        pass
    assert (caught.value.code, caught.value.scope) == ("RATE_LIMITED", "requests")
    assert 15 < (caught.value.retry_after or 0) <= 21


def test_refusals_are_typed(client: Orchestrator) -> None:
    client.declare(Resource("one", concurrency=1), Resource("slow", requests_per_minute=1))
    with pytest.raises(CallRefused) as large, client.call("llm", input_tokens=1501):
        pass
    assert (large.value.code, large.value.scope, large.value.retryable) == (
        "COST_TOO_LARGE",
        "input_tokens",
        False,
    )
    with client.call("one"):
        with pytest.raises(CallRefused) as busy, client.call("one", on_limit="refuse"):
            pass
        assert (busy.value.code, busy.value.scope) == ("RESOURCE_BUSY", "concurrency")
    with client.call("slow"):
        pass
    with pytest.raises(CallRefused) as limited, client.call("slow", timeout=0.05):
        pass
    assert limited.value.code == "RATE_LIMITED"
    assert 59 < (limited.value.retry_after or 0) <= 60.1
    [slow] = [one for one in client.breakers() if one.resource == "slow"]
    assert slow.waiting == 0


@pytest.mark.parametrize("amount", [-1, float("nan"), float("inf"), True])
def test_amounts_that_are_none_are_refused(client: Orchestrator, amount: float) -> None:
    with pytest.raises(InvalidRequest):
        client.call("llm", input_tokens=amount)


def test_who_waits_is_told_when_a_call_ends(
    bench: Bench, client: Orchestrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.declare(Resource("one", requests_per_minute=None, concurrency=1))
    monkeypatch.setattr(calls, "_pause", lambda _retry_after: 3_600.0)
    done = threading.Event()

    def second() -> None:
        with client.call("one"):
            done.set()

    with client.call("one"):
        thread = threading.Thread(target=second)
        thread.start()
        wait_until(lambda: client.breakers()[-1].waiting == 1, "it waits")
        assert not done.is_set()
    thread.join(20)
    assert done.is_set()


def test_a_waiting_agent_that_is_stopped_leaves_the_line(
    bench: Bench, client: Orchestrator
) -> None:
    client.declare(Resource("one", requests_per_minute=None, concurrency=1))

    def ask(ctx: Context) -> None:
        with ctx.call("one"):
            pass

    bench.agent("ask", ask)
    with client.call("one"):
        one = bench.spawn("ask")
        thread = threading.Thread(target=bench.execute, args=(one,))
        thread.start()
        wait_until(lambda: client.breakers()[-1].waiting == 1, "it waits")
        bench.running.stop(one, StopReason.WORKER_STOPPED)
        thread.join(20)
        assert client.breakers()[-1].waiting == 0
    assert bench.row(one).state is State.QUEUED


def test_an_open_breaker_hands_an_agent_back_and_burns_no_attempt(
    bench: Bench, client: Orchestrator
) -> None:
    client.declare(Resource("llm", breaker=BreakerPolicy(failures=2, cooldown=30)))

    def ask(ctx: Context) -> str:
        with ctx.call("llm"):
            return "well again"

    bench.agent("ask", ask, retry=RetryPolicy.never())
    for _ in range(2):
        with pytest.raises(Overloaded), client.call("llm"):
            raise Overloaded(503)
    one = bench.spawn("ask")
    waiting = bench.execute(one)
    assert (waiting.state, waiting.reason, waiting.failures) == (State.QUEUED, "BREAKER_OPEN", 0)
    assert waiting.not_before is not None
    assert bench.places(one) == ["delayed"]
    bench.advance(34)
    bench.beat()
    assert bench.places(one) == ["dispatched"]
    assert bench.execute(one).result == "well again"


def test_a_crashed_caller_does_not_hold_its_place(bench: Bench, client: Orchestrator) -> None:
    client.declare(Resource("one", requests_per_minute=None, concurrency=1))
    wish = Wish("one", "default", Amounts(), "refuse")
    crashed = calls.begin(bench.deps, wish)
    bench.deps.calls.remove(crashed)
    with pytest.raises(CallRefused):
        calls.begin(bench.deps, wish)
    bench.advance(LEASE + 1)
    second = calls.begin(bench.deps, wish)
    bench.deps.calls.renew()
    bench.advance(0.7 * LEASE)
    bench.deps.calls.renew()
    bench.advance(0.7 * LEASE)
    # The second is alive: it says so.
    with pytest.raises(CallRefused):
        calls.begin(bench.deps, wish)
    bench.deps.calls.remove(second)


def test_an_emptied_redis_knows_the_resources_again_and_is_careful(
    bench: Bench, client: Orchestrator
) -> None:
    bench.spawn()
    client.declare(Resource("one", concurrency=1, requests_per_minute=600))
    client.force_breaker("down", "open")
    wish = Wish("one", "default", Amounts(), "refuse")
    under_way = calls.begin(bench.deps, wish)
    bench.deps.gate.redis.flushall()
    rebuild.run_once(bench.deps)
    bench.deps.calls.renew()
    with pytest.raises(CallRefused) as careful:
        calls.begin(bench.deps, wish)
    assert (careful.value.code, careful.value.scope) == ("RESOURCE_BUSY", "concurrency")
    with pytest.raises(CallRefused) as held, client.call("down"):
        pass
    assert held.value.code == "BREAKER_OPEN"
    with pytest.raises(CallRefused) as empty, client.call("llm", on_limit="refuse"):
        pass
    assert (empty.value.code, empty.value.scope) == ("RATE_LIMITED", "requests")
    calls.end(bench.deps, under_way, wish, Outcome.SUCCESS, {}, Hint())
    bench.advance(LEASE + 1)
    calls.begin(bench.deps, wish)


def test_an_operators_word_is_taken_back(bench: Bench, client: Orchestrator) -> None:
    client.force_breaker("llm", "open")
    client.force_breaker("llm", "auto")
    with client.call("llm"):
        pass
    recorded = {one.resource.name: one.forced for one in bench.deps.store.resources.all()}
    assert recorded == {"llm": {}}
    with pytest.raises(InvalidRequest, match="none of"):
        resources.force(bench.deps, "llm", None, "ajar")


class TestInLine:
    """Instances of agents that declare a resource, while its breaker is open."""

    @pytest.fixture
    def down(self, bench: Bench, client: Orchestrator) -> None:
        """The resource `llm` fails until its breaker opens."""
        client.declare(Resource("llm", breaker=BreakerPolicy(failures=1, probes=1, cooldown=30)))
        bench.agent("needy", lambda ctx: "ran", resources=("llm", "other"))
        bench.agent("free", lambda ctx: "ran")
        resources.declare_needs(bench.deps, bench.registry.specs().values())
        with pytest.raises(Overloaded), client.call("llm"):
            raise Overloaded(503)

    @pytest.mark.usefixtures("down")
    def test_they_are_not_started_and_hold_nobody_up(self, bench: Bench) -> None:
        needy, free = bench.spawn("needy"), bench.spawn("free")
        assert bench.places(needy, free) == ["queued", "dispatched"]
        bench.beat()
        bench.deps.gate.pump()
        assert bench.places(needy) == ["queued"]
        with pytest.raises(SpawnRefused) as caught:
            bench.spawn("needy", on_limit="refuse")
        assert caught.value.code == "BREAKER_OPEN"
        assert 25 < (caught.value.retry_after or 0) <= 33

    @pytest.mark.usefixtures("down")
    def test_whoever_asks_is_told_which_breaker_is_open(self, bench: Bench) -> None:
        found = explain(bench.deps, bench.spawn("needy"))
        [constraint] = found.constraints
        assert (constraint.kind, constraint.name) == ("breaker", "llm")
        assert constraint.until is not None
        assert "llm" in found.summary
        free = explain(bench.deps, bench.spawn("free"))
        assert "breaker" not in {one.kind for one in free.constraints}

    @pytest.mark.usefixtures("down")
    def test_the_time_at_which_the_breaker_is_half_open_wakes_them(self, bench: Bench) -> None:
        one = bench.spawn("needy")
        due = bench.deps.gate.heartbeat("bench", "default", 100, []).next_due
        assert due is not None
        assert 25 < due <= 33
        bench.advance(due + 0.01)
        bench.beat()
        assert bench.places(one) == ["dispatched"]
        assert bench.execute(one).attempt == 1

    @pytest.mark.usefixtures("down")
    @pytest.mark.parametrize("mode", ["auto", "closed"])
    def test_an_operators_word_wakes_them(
        self, bench: Bench, client: Orchestrator, mode: str
    ) -> None:
        one = bench.spawn("needy")
        client.force_breaker("llm", mode)
        assert bench.places(one) == ["dispatched"]

    def test_an_operators_word_holds_them_up(self, bench: Bench, client: Orchestrator) -> None:
        bench.agent("needy", lambda ctx: "ran", resources=("llm",))
        resources.declare_needs(bench.deps, bench.registry.specs().values())
        client.force_breaker("llm", "open")
        one = bench.spawn("needy")
        bench.advance(31)
        bench.beat()
        assert bench.places(one) == ["queued"]
        client.force_breaker("llm", "auto")
        assert bench.places(one) == ["dispatched"]

    @pytest.mark.usefixtures("down")
    def test_a_probe_that_succeeds_lets_all_go_on(self, bench: Bench, client: Orchestrator) -> None:
        bench.advance(34)
        with client.call("llm"):
            waiting = [bench.spawn("needy") for _ in range(3)]
            assert bench.places(*waiting) == ["queued"] * 3
        bench.beat()
        assert bench.places(*waiting) == ["dispatched"] * 3
