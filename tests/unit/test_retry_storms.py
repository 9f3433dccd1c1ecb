"""Retry delays stay within their bounds, differ from each other, and come to an end."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.errors import ConfigurationError
from orchestrator.domain.retry import RetryPolicy

seconds = st.floats(0, 1e6)
policies = st.tuples(st.integers(1, 1_000), seconds, seconds).map(
    lambda drawn: RetryPolicy(drawn[0], min(drawn[1:]), max(drawn[1:]))
)


@given(policies, st.integers(1, 10_000), st.integers())
def test_no_delay_is_outside_its_bound(policy: RetryPolicy, failures: int, seed: int) -> None:
    delay = policy.delay(failures, random.Random(seed))
    assert 0 <= delay <= policy.max_delay
    if failures <= 30:
        assert delay <= policy.first_delay * 2 ** (failures - 1)


def test_the_bound_doubles_until_it_is_met() -> None:
    class Highest(random.Random):
        def uniform(self, a: float, b: float) -> float:
            return b

    policy = RetryPolicy(first_delay=1, max_delay=10)
    assert [policy.delay(n, Highest()) for n in range(1, 7)] == [1, 2, 4, 8, 10, 10]


def test_those_that_failed_together_do_not_come_back_together() -> None:
    policy = RetryPolicy(first_delay=1, max_delay=1)
    draw = random.Random(0)
    delays = [policy.delay(1, draw) for _ in range(1_000)]
    assert len(set(delays)) == 1_000
    assert min(delays) < 0.05
    assert max(delays) > 0.95


@given(policies)
def test_attempts_come_to_an_end(policy: RetryPolicy) -> None:
    assert policy.allows(policy.max_attempts - 1) is True
    assert policy.allows(policy.max_attempts) is False


def test_never_means_one_attempt() -> None:
    assert RetryPolicy.never().allows(1) is False


def test_an_error_that_no_retry_helps_gets_none() -> None:
    policy = RetryPolicy(max_attempts=5, give_up_on=("ValueError",))
    assert policy.allows(1, "ValueError") is False
    assert policy.allows(1, "OSError") is True


@pytest.mark.parametrize(
    "fields",
    [
        {"max_attempts": 0},
        {"max_attempts": -1},
        {"first_delay": -0.1},
        {"first_delay": 2.0, "max_delay": 1.0},
        {"first_delay": float("nan")},
        {"max_delay": float("nan")},
        {"max_delay": float("inf")},
    ],
    ids=str,
)
def test_a_policy_that_makes_no_sense_is_refused(fields: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError):
        RetryPolicy(**fields)  # type: ignore[arg-type]  # the wrong values are the point


@given(policies)
def test_a_policy_survives_being_recorded(policy: RetryPolicy) -> None:
    assert RetryPolicy.from_dict(policy.to_dict()) == policy
    named = RetryPolicy(give_up_on=("A", "B"))
    assert RetryPolicy.from_dict(named.to_dict()) == named
