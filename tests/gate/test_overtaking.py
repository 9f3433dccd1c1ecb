"""A newcomer takes no slot that somebody in line could have, also while handing out goes on."""

from __future__ import annotations

from dataclasses import replace

from orchestrator.domain.limits import Limits
from orchestrator.domain.verdict import Decision
from tests.gate.traced import LEASE, TracedGate
from tests.support.make import spawn_of

LIMITS = Limits()


def _spawn(gate: TracedGate, name: str, session: str) -> str:
    new = spawn_of(id=name, session=session)
    gate.check_in(new, "queue")
    return gate.follow(new)


def test_while_one_call_was_not_enough_to_hand_out_all(gate: TracedGate) -> None:
    # Given one that runs and ten in line behind a limit
    gate.set_limits(replace(LIMITS, global_concurrency=1))
    for number in range(11):
        _spawn(gate, f"i{number}", f"s{number}")
    # When the limit is raised, and a small sweep has begun to hand out
    gate.set_limits(replace(LIMITS, global_concurrency=20))
    assert gate.sweep(1, 30.0).more
    # Then a newcomer goes behind the rest, although there is room for all
    newcomer = spawn_of(id="newcomer", session="new")
    assert gate.check_in(newcomer, "queue").decision is Decision.QUEUED
    gate.follow(newcomer)
    messages = gate.redis.lrange(gate.queues("default")[0] + "\x06\x165", 0, -1)
    assert [text.split()[0] for text in messages] == [
        "newcomer",
        *(f"i{number}" for number in reversed(range(11))),
    ]


def test_while_raised_limits_have_not_been_told_to_all_flows(gate: TracedGate) -> None:
    # Given one in line because its session is full
    gate.set_limits(replace(LIMITS, session_concurrency=1))
    assert _spawn(gate, "first", "s") == "dispatched"
    assert _spawn(gate, "second", "s") == "queued"
    # When the limit is raised
    gate.set_limits(LIMITS)
    # Then a newcomer to the session goes behind it, and both run once the flows are told
    newcomer = spawn_of(id="newcomer", session="s")
    assert gate.check_in(newcomer, "queue").scope == "queue"
    gate.refresh_flows()
    assert gate.glance("second").place == "dispatched"
    assert gate.follow(newcomer) == "dispatched"


def test_who_must_not_wait_is_refused_there_too(gate: TracedGate) -> None:
    gate.set_limits(replace(LIMITS, session_concurrency=1))
    _spawn(gate, "first", "s")
    _spawn(gate, "second", "s")
    gate.set_limits(LIMITS)
    verdict = gate.check_in(spawn_of(id="newcomer", session="s"), "refuse")
    assert (verdict.refusal, verdict.scope) == ("CONCURRENT_LIMIT", "queue")
    assert verdict.retry_after is not None


def test_when_the_worker_that_offered_room_has_gone(gate: TracedGate) -> None:
    # Given room that one worker offers, and nobody in line
    assert _spawn(gate, "first", "s") == "dispatched"
    gate.release("first", 1)
    # When that worker has not been heard of for longer than a lease
    gate.clock.advance(LEASE + 1)
    # Then a newcomer has to wait
    newcomer = spawn_of(id="newcomer", session="new")
    assert gate.check_in(newcomer, "queue").decision is Decision.QUEUED
