"""R4: only the newest attempt writes, and only from the state it is in."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from orchestrator.domain.ids import new_id
from orchestrator.domain.lifecycle import LIVE, STORED, State
from orchestrator.store.store import Ending, Store
from tests.store.life import ATTEMPT, begun, found, policy, root, row_in

Verb = Callable[[Store, str, int], Any]


def begin(store: Store, instance_id: str, attempt: int) -> object:
    return store.begin(instance_id, attempt, "worker")


def settle(store: Store, instance_id: str, attempt: int) -> object:
    return store.settle(instance_id, attempt, Ending(State.COMPLETED, result="1")) is not None


def hand_back(store: Store, instance_id: str, attempt: int) -> object:
    return store.hand_back(instance_id, attempt, "RETRY", failed=True) is not None


def suspend(store: Store, instance_id: str, attempt: int) -> object:
    return store.park(instance_id, attempt)


def resume(store: Store, instance_id: str, attempt: int) -> object:
    return store.resume(instance_id, attempt)


def expire(store: Store, instance_id: str, attempt: int) -> object:
    return store.expire(instance_id, attempt)


OLDER, SAME, NEWER = ATTEMPT - 1, ATTEMPT, ATTEMPT + 1

#: From which states, and with which attempts, each verb may write.
MAY: dict[Verb, tuple[set[State], set[int]]] = {
    begin: ({State.QUEUED}, {NEWER}),
    settle: ({State.RUNNING}, {SAME}),
    # A parent that waits is handed back as well when its worker stops.
    hand_back: ({State.RUNNING, State.WAITING}, {SAME}),
    suspend: ({State.RUNNING}, {SAME}),
    resume: ({State.WAITING}, {SAME}),
    # The gate may have dispatched an attempt that never began.
    expire: (set(LIVE), {SAME, NEWER}),
}
AFTER: dict[Verb, State] = {
    begin: State.RUNNING,
    settle: State.COMPLETED,
    hand_back: State.QUEUED,
    suspend: State.WAITING,
    resume: State.QUEUED,
    expire: State.QUEUED,
}


@pytest.mark.parametrize("state", STORED)
@pytest.mark.parametrize("verb", MAY, ids=lambda verb: verb.__name__)
def test_each_verb_writes_only_where_it_may(
    store: Store, sql: psycopg.Connection, verb: Verb, state: State
) -> None:
    states, attempts = MAY[verb]
    for attempt in (OLDER, SAME, NEWER):
        one = row_in(store, sql, state)
        before, events = found(store, one), len(store.events(one))
        answer = verb(store, one, attempt)
        after, written = found(store, one), len(store.events(one)) - events
        if state in states and attempt in attempts:
            assert answer
            assert after.state is AFTER[verb]
            changed = (after.state, after.attempt) != (before.state, before.attempt)
            assert written == int(changed)
        else:
            assert not answer
            assert (after, written) == (before, 0)


@pytest.mark.parametrize("verb", MAY, ids=lambda verb: verb.__name__)
def test_an_instance_that_does_not_exist_is_no_error(store: Store, verb: Verb) -> None:
    assert not verb(store, new_id(), 1)


def test_a_row_that_an_expired_queue_place_was_judged_for_stays_queued(store: Store) -> None:
    """The same attempt is judged twice; the second time nothing is left to say."""
    one = root(store)
    assert store.expire(one.id, 1) is not None
    assert store.expire(one.id, 1) is not None
    assert [event.attempt for event in store.events(one.id)] == [0, 1]


def test_what_begins_is_recorded(store: Store) -> None:
    one = root(store)
    assert (one.state, one.attempt, one.worker, one.started_at) == (State.QUEUED, 0, None, None)
    first = begun(store, one, 3)
    assert (first.state, first.attempt, first.worker) == (State.RUNNING, 3, "worker")
    assert first.started_at is not None
    store.hand_back(one.id, 3, "RETRY", delay=100)
    waiting = found(store, one.id)
    assert waiting.not_before is not None
    again = begun(store, one, 4)
    assert again.started_at == first.started_at  # the first begin counts
    assert (again.not_before, again.reason) == (None, None)


def test_what_ends_is_recorded(store: Store) -> None:
    one = begun(store, root(store))
    error = {"type": "ValueError", "message": "no", "traceback": "..."}
    store.settle(one.id, 1, Ending(State.FAILED, "AGENT_ERROR", error=error, failed=True))
    ended = found(store, one.id)
    assert (ended.state, ended.reason, ended.failures) == (State.FAILED, "AGENT_ERROR", 1)
    assert (ended.error, ended.result) == (error, None)
    assert ended.ended_at is not None


@pytest.mark.parametrize("text", ["null", "0", '""', "[]", '{"a": [1, null]}', '"\U0001f600"'])
def test_every_result_comes_back_as_it_was(store: Store, text: str) -> None:
    one = begun(store, root(store))
    store.settle(one.id, 1, Ending(State.COMPLETED, result=text))
    assert found(store, one.id).result == json.loads(text)


def test_a_failure_counts_and_a_handing_back_does_not(store: Store) -> None:
    one = begun(store, root(store), 1)
    store.hand_back(one.id, 1, "RETRY", failed=True, error={"type": "E", "message": "m"}, delay=5)
    failed = found(store, one.id)
    assert (failed.failures, failed.reason, failed.error) == (
        1,
        "RETRY",
        {"type": "E", "message": "m"},
    )
    assert failed.not_before is not None
    begun(store, one, 2)
    store.hand_back(one.id, 2, "WORKER_STOPPED")
    # What failed before is still told.
    assert (found(store, one.id).failures, found(store, one.id).error) == (1, failed.error)


EXPIRIES = [
    # state, attempts allowed, failures before -> state, reason, failures after
    (State.QUEUED, 1, 0, State.QUEUED, "MESSAGE_LOST", 0),
    (State.QUEUED, 1, 1, State.QUEUED, "MESSAGE_LOST", 1),
    (State.RUNNING, 1, 0, State.FAILED, "LEASE_EXPIRED", 1),
    (State.RUNNING, 2, 0, State.QUEUED, "LEASE_EXPIRED", 1),
    (State.RUNNING, 2, 1, State.FAILED, "LEASE_EXPIRED", 2),
    (State.RUNNING, 3, 1, State.QUEUED, "LEASE_EXPIRED", 2),
    (State.WAITING, 1, 0, State.FAILED, "LEASE_EXPIRED", 1),
    (State.WAITING, 2, 0, State.QUEUED, "LEASE_EXPIRED", 1),
]


@pytest.mark.parametrize(("state", "allowed", "failures", "after", "reason", "failed"), EXPIRIES)
def test_an_expired_lease_is_a_new_attempt_or_the_end(
    store: Store,
    sql: psycopg.Connection,
    state: State,
    allowed: int,
    failures: int,
    after: State,
    reason: str,
    failed: int,
) -> None:
    one = row_in(store, sql, state, failures=failures, retry=policy(allowed))
    below = row_in(store, sql, State.RUNNING, parent=one)
    # One that is in line was handed out as the next attempt, which never began.
    verdict = store.expire(one, ATTEMPT + (state is State.QUEUED))
    assert verdict is not None
    instance, ended = verdict
    assert (instance.state, instance.reason, instance.failures) == (after, reason, failed)
    assert (instance.ended_at is not None) == after.is_terminal
    # Only an end takes the children along.
    assert ended == ([below] if after is State.FAILED else [])
    assert found(store, below).state.is_terminal == (after is State.FAILED)


def test_a_message_that_turns_up_late_finds_nothing(store: Store) -> None:
    """The attempt of a lost message is spent: whoever reads it after all may not begin."""
    one = root(store)
    store.expire(one.id, 1)
    assert store.begin(one.id, 1, "late") is None
    assert store.begin(one.id, 2, "next") is not None


@pytest.mark.parametrize("attempt", [0, 1])
def test_what_changes_nothing_has_no_reason(store: Store, attempt: int) -> None:
    """One that was never handed out, and one that was judged before, is as its trail says."""
    one = root(store)
    if attempt:
        begun(store, one)
        hand_back(store, one.id, 1)
    before = found(store, one.id)
    assert store.expire(one.id, attempt) == (before, [])
    assert found(store, one.id) == before
    assert store.events(one.id)[-1].reason == before.reason


@pytest.mark.parametrize(
    ("first", "second"),
    list(itertools.permutations([settle, hand_back, suspend, expire], 2)),
    ids=lambda verb: verb.__name__,
)
def test_of_two_ends_of_an_attempt_the_first_stands(
    store: Store, first: Verb, second: Verb
) -> None:
    one = begun(store, root(store, retry=policy(3)))
    assert first(store, one.id, 1)
    between = found(store, one.id)
    answer = second(store, one.id, 1)
    # A waiting attempt's lease may still run out, and it may be handed back.
    follows = first is suspend and second in (expire, hand_back)
    # A sweep that comes late finds the row queued and only raises its attempt, which it has.
    harmless = first is hand_back and second is expire
    if follows or harmless:
        assert found(store, one.id).state is State.QUEUED
    else:
        assert not answer
        assert found(store, one.id) == between
