"""R5: ending an instance ends everything below it, and nothing beside it.

Below an instance is what was spawned there, but for the subtrees of those who were spawned detached
or, where the parent came to an end of its own, with `on_parent_end="detach"`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.domain.ids import new_id
from orchestrator.domain.lifecycle import LIVE, STORED, State
from orchestrator.store.store import Ending, Store
from tests.store.life import ATTEMPT, begun, check_trail, child, found, policy, root, row_in
from tests.support.make import parent_of, spawn_of

#: How a node hangs on its parent: `detached`, or what its `on_parent_end` says.
TIES = ("terminate", "terminate", "detach", "detached")
#: A forest: for each node the index of its parent among the earlier ones (itself: a root), a
#: wished-for state, and how it hangs on its parent.
Drawn = list[tuple[int, State, str]]
forests = st.lists(
    st.tuples(st.integers(0, 30), st.sampled_from(STORED), st.sampled_from(TIES)),
    min_size=1,
    max_size=9,
)


class Forest:
    """The drawn rows in PostgreSQL; below an ended one everything is ended (R5)."""

    def __init__(self, store: Store, sql: psycopg.Connection, drawn: Drawn) -> None:
        self.ids: list[str] = []
        self.above: dict[str, str | None] = {}
        self.states: dict[str, State] = {}
        self.ties: dict[str, str] = {}
        for number, (choice, wish, tie) in enumerate(drawn):
            parent = self.ids[choice] if choice < number else None
            dead = parent is not None and self.ends_with(self.states[parent], tie)
            state = State.CANCELLED if dead and wish in LIVE else wish
            one = row_in(
                store,
                sql,
                state,
                parent=parent,
                detached=tie == "detached",
                on_parent_end="detach" if tie == "detach" else "terminate",
            )
            self.ids.append(one)
            self.above[one], self.states[one], self.ties[one] = parent, state, tie

    @staticmethod
    def ends_with(above: State, tie: str) -> bool:
        """Whether the end of a parent in this state is the end of a child that hangs on it so."""
        if tie == "detached" or not above.is_terminal:
            return False
        return tie == "terminate" or above is State.CANCELLED

    def doomed(self, tops: set[str], *, own_end: bool = False) -> set[str]:
        """Who ends with these: the tops, and who hangs on one of them."""
        members = set(tops)
        for one in self.ids:
            parent = self.above[one]
            if parent not in members or self.states[one].is_terminal:
                continue
            by = State.COMPLETED if own_end and parent in tops else State.CANCELLED
            if self.ends_with(by, self.ties[one]):
                members.add(one)
        return members

    def subtree(self, top: str) -> set[str]:
        members = {top}
        for one in self.ids:  # parents come before their children
            if self.above[one] in members:
                members.add(one)
        return members

    def live(self, ids: set[str]) -> set[str]:
        return {one for one in ids if self.states[one] in LIVE}


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(drawn=forests, picks=st.sets(st.integers(0, 8), min_size=1, max_size=3))
def test_cancelling_ends_exactly_what_lives_below(
    store: Store, sql: psycopg.Connection, drawn: Drawn, picks: set[int]
) -> None:
    forest = Forest(store, sql, drawn)
    named = {forest.ids[pick % len(drawn)] for pick in picks}
    # Of what had ended before, nothing is ended again.
    expected = forest.live(forest.doomed(forest.live(named)))
    ended = store.cancel(sorted(named), "CANCELLED", "PARENT_ENDED")
    assert sorted(ended) == sorted(expected)
    for one in forest.ids:
        instance = found(store, one)
        if one in expected:
            reason = "CANCELLED" if one in named else "PARENT_ENDED"
            assert (instance.state, instance.reason) == (State.CANCELLED, reason)
        else:
            assert instance.state is forest.states[one]
    assert store.orphans(100) == []


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(drawn=forests, end=st.sampled_from([State.COMPLETED, State.FAILED]), crashed=st.booleans())
def test_an_end_of_its_own_ends_exactly_what_hangs_on_it(
    store: Store, sql: psycopg.Connection, drawn: Drawn, end: State, crashed: bool
) -> None:
    forest = Forest(store, sql, drawn)
    running = [one for one in forest.ids if forest.states[one] is State.RUNNING]
    if not running:
        return
    top = running[0]
    expected = forest.live(forest.doomed({top}, own_end=True)) - {top}
    if crashed:
        sql.execute(
            "UPDATE instances SET retry = %s WHERE id = %s", (json.dumps(policy(1).to_dict()), top)
        )
        verdict = store.expire(top, ATTEMPT)
        below = verdict[1] if verdict else None
    else:
        below = store.settle(top, ATTEMPT, Ending(end, result="1" if end == "completed" else None))
    assert below is not None
    assert sorted(below) == sorted(expected)
    assert store.orphans(100) == []


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(drawn=forests)
def test_reading_a_subtree_finds_exactly_its_members(
    store: Store, sql: psycopg.Connection, drawn: Drawn
) -> None:
    forest = Forest(store, sql, drawn)
    for one in forest.ids:
        members = [instance.id for instance in store.subtree(one)]
        assert set(members) == forest.subtree(one)
        assert members == sorted(members)


@pytest.fixture
def chain(store: Store) -> list[str]:
    """Root, child and grandchild, all running."""
    top = begun(store, root(store, retry=policy(1)))
    middle = begun(store, child(store, top))
    return [top.id, middle.id, begun(store, child(store, middle)).id]


def states(store: Store, ids: list[str]) -> list[State]:
    return [found(store, one).state for one in ids]


@pytest.mark.parametrize("state", [State.COMPLETED, State.FAILED, State.CANCELLED])
def test_a_settled_parent_takes_its_children_along(
    store: Store, chain: list[str], state: State
) -> None:
    below = store.settle(chain[0], 1, Ending(state, result="1" if state == "completed" else None))
    assert below is not None
    assert sorted(below) == sorted(chain[1:])
    assert states(store, chain) == [state, State.CANCELLED, State.CANCELLED]
    for one in chain:
        check_trail(found(store, one), list(store.events(one)))


def test_a_fenced_settlement_takes_nobody_along(store: Store, chain: list[str]) -> None:
    assert store.settle(chain[0], 2, Ending(State.COMPLETED, result="1")) is None
    assert states(store, chain) == [State.RUNNING] * 3


def test_an_expired_last_attempt_takes_its_children_along(store: Store, chain: list[str]) -> None:
    verdict = store.expire(chain[0], 1)
    assert verdict is not None
    assert sorted(verdict[1]) == sorted(chain[1:])
    assert states(store, chain) == [State.FAILED, State.CANCELLED, State.CANCELLED]


def test_cancelling_twice_ends_nothing_twice(store: Store, chain: list[str]) -> None:
    assert len(store.cancel([chain[0]], "CANCELLED", "PARENT_ENDED")) == 3
    assert store.cancel([chain[0]], "CANCELLED", "PARENT_ENDED") == []
    assert [len(store.events(one)) for one in chain] == [3, 3, 3]


def test_cancelling_what_never_was_ends_nothing(store: Store) -> None:
    assert store.cancel([new_id()], "CANCELLED", "PARENT_ENDED") == []
    assert store.cancel([], "CANCELLED", "PARENT_ENDED") == []


def test_an_ended_parent_gets_no_child(store: Store) -> None:
    top = begun(store, root(store))
    store.cancel([top.id], "CANCELLED", "PARENT_ENDED")
    assert store.record(spawn_of(parent_of(top))) is False
    assert len(store.subtree(top.id)) == 1


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as threads:
        yield threads


@pytest.mark.parametrize("round_", range(5))
def test_no_child_slips_through_a_cancellation_in_progress(
    store: Store, threads: ThreadPoolExecutor, round_: int
) -> None:
    """Children are recorded by many connections while the parent is being cancelled."""
    top = begun(store, root(store))
    middle = begun(store, child(store, top))
    recording = [
        threads.submit(store.record, spawn_of(parent_of(middle, position)))
        for position in range(round_ * 4)
    ]
    ended = threads.submit(store.cancel, [top.id], "CANCELLED", "PARENT_ENDED")
    recording += [
        threads.submit(store.record, spawn_of(parent_of(middle, position)))
        for position in range(100, 120)
    ]
    accepted = sum(future.result() for future in recording)
    assert len(ended.result()) == accepted + 2
    assert all(one.state is State.CANCELLED for one in store.subtree(top.id))


def test_crossing_cancellations_do_not_block_each_other(
    store: Store, threads: ThreadPoolExecutor
) -> None:
    """Rows are locked in one order, so two that end overlapping trees cannot deadlock."""
    for _ in range(10):
        top = begun(store, root(store))
        kids = [begun(store, child(store, top, position)).id for position in range(10)]
        endings = [
            threads.submit(store.cancel, ids, "CANCELLED", "PARENT_ENDED")
            for ids in (kids, kids[::-1], [top.id], [kids[3], top.id, kids[1]])
        ]
        ended = [one for future in endings for one in future.result()]
        assert sorted(ended) == sorted([top.id, *kids])
