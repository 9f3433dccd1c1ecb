"""The table of the lifecycle: nothing leaves the end, everything can reach it."""

from __future__ import annotations

import itertools

import pytest

from orchestrator.domain.lifecycle import (
    LIVE,
    STORED,
    TERMINAL,
    TRANSITIONS,
    State,
    allowed,
    stored_transitions,
)

pairs = pytest.mark.parametrize(("before", "after"), list(itertools.product(State, State)))


@pairs
def test_the_table_is_what_is_allowed(before: State, after: State) -> None:
    assert allowed(before, after) is (after in TRANSITIONS[before])


def test_every_state_is_in_the_table() -> None:
    assert set(TRANSITIONS) == set(State)


@pytest.mark.parametrize("state", sorted(TERMINAL))
def test_an_end_is_never_left(state: State) -> None:
    assert state.is_terminal
    assert TRANSITIONS[state] == frozenset()


@pytest.mark.parametrize("state", [state for state in State if state not in TERMINAL])
def test_whatever_lives_can_be_cancelled_and_can_fail(state: State) -> None:
    assert not state.is_terminal
    assert allowed(state, State.CANCELLED)
    assert allowed(state, State.FAILED)


@pytest.mark.parametrize("state", State)
def test_a_stay_is_no_transition(state: State) -> None:
    assert not allowed(state, state)


def test_only_what_ran_can_complete() -> None:
    assert [state for state in State if allowed(state, State.COMPLETED)] == [State.RUNNING]


def test_postgresql_never_sees_a_dispatched_instance() -> None:
    assert State.DISPATCHED not in STORED
    assert set(LIVE) | TERMINAL == set(STORED)
    assert not set(LIVE) & TERMINAL


def test_the_stored_transitions_are_the_table_without_dispatched() -> None:
    expected = {
        (before, after)
        for before, afters in TRANSITIONS.items()
        for after in afters
        if State.DISPATCHED not in (before, after)
    }
    found = list(stored_transitions())
    assert set(found) == expected
    assert len(found) == len(expected)
