"""What shards lend each other must go where it is short, and leave lenders what they use."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.credit import Load, Transfer, plan

loads = st.lists(
    st.builds(Load, st.integers(0, 20), st.integers(0, 20), st.booleans()), min_size=1, max_size=6
)


def test_half_of_what_is_free_goes_to_the_one_who_is_short() -> None:
    busy, idle = Load(5, 5, has_waiting=True), Load(5, 1, has_waiting=False)
    assert plan([busy, idle]) == [Transfer(lender=1, borrower=0, amount=2)]


def test_two_who_are_short_get_even_parts() -> None:
    busy, idle = Load(5, 5, has_waiting=True), Load(9, 1, has_waiting=False)
    assert plan([busy, idle, busy]) == [Transfer(1, 0, 2), Transfer(1, 2, 2)]


def test_the_last_one_can_be_lent() -> None:
    assert plan([Load(0, 0, True), Load(1, 0, False)]) == [Transfer(1, 0, 1)]


@given(loads)
def test_nobody_lends_what_is_in_use_or_wanted(loads: list[Load]) -> None:
    transfers = plan(loads)
    for number, load in enumerate(loads):
        lent = sum(one.amount for one in transfers if one.lender == number)
        assert lent == 0 or (lent <= load.limit - load.used and not load.has_waiting)
        borrowed = sum(one.amount for one in transfers if one.borrower == number)
        assert borrowed == 0 or load.is_short
    assert all(one.amount > 0 for one in transfers)
    if any(load.is_short for load in loads):
        assert sum(one.amount for one in transfers) == sum(load.spare for load in loads)
