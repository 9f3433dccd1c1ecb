"""Danger: a budget that bounds nothing, or something else than its author meant."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from orchestrator.admission.accounts import account_of_session, owner_of
from orchestrator.domain.budget import Budget, BudgetUse, from_units, in_units
from orchestrator.domain.errors import InvalidSpawn

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "bounds nothing"),
        ({"on_exhausted": "warn"}, "bounds nothing"),
        ({"tokens": -1}, "tokens is -1; it must be a whole number from 0"),
        ({"tokens": 1.5}, "tokens is 1.5"),
        ({"tokens": True}, "tokens is True"),
        ({"usd": math.nan}, "usd is nan; it must be a number from 0"),
        ({"usd": math.inf}, "usd is inf"),
        ({"usd": 10**7}, "to 1000000"),
        ({"live": 0}, "live is 0; it must be a whole number from 1"),
        ({"spawns": "3"}, "spawns is '3'"),
        ({"depth": -1}, "depth is -1"),
        ({"deadline": 0}, "deadline is 0"),
        ({"deadline": math.nan}, "deadline is nan"),
        ({"deadline": "soon"}, "deadline is 'soon'"),
        ({"deadline": datetime(2026, 1, 1)}, "no time zone"),  # noqa: DTZ001  # what is refused
        ({"tokens": 1, "on_exhausted": "stop"}, "on_exhausted is 'stop'"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidSpawn, match=words) as caught:
        Budget(**fields)
    assert caught.value.code == "INVALID_BUDGET"


def test_json_of_a_stranger_is_checked_too() -> None:
    with pytest.raises(InvalidSpawn, match="no token, words in a budget"):
        Budget.from_dict({"words": 1, "token": 2})
    with pytest.raises(InvalidSpawn, match="not a time in ISO 8601"):
        Budget.from_dict({"deadline": "soon"})


def test_a_budget_comes_back_from_json_as_it_was() -> None:
    for budget in (
        Budget(tokens=0, usd=0.5, live=1, spawns=3, depth=0, on_exhausted="fail"),
        Budget(deadline=60.0),
        Budget(deadline=NOW),
    ):
        assert Budget.from_dict(budget.to_dict()) == budget


def test_seconds_become_a_time_once() -> None:
    fixed = Budget(deadline=90).fixed(NOW)
    assert fixed.deadline == NOW + timedelta(seconds=90)
    assert fixed.fixed(NOW + timedelta(days=1)) == fixed


def test_money_is_counted_in_whole_billionths() -> None:
    assert in_units("usd", 0.1) + in_units("usd", 0.2) == in_units("usd", 0.3)
    assert from_units("usd", 1) == 1e-9
    assert in_units("tokens", 3) == from_units("tokens", 3) == 3


def test_what_is_left_may_be_a_debt() -> None:
    assert BudgetUse("tokens", 10, used=8, reserved=1, granted=3).left == -2


@pytest.mark.parametrize("tenant", ["a", "1 a", "ä:p"])
def test_an_account_tells_whose_it_is(tenant: str) -> None:
    assert owner_of(account_of_session(tenant, "x y")) == "session x y"
