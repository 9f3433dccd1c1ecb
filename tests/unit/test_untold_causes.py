"""An error is recorded with everything behind it, and a policy judges it as `except` would."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from orchestrator.domain.errors import ConfigurationError
from orchestrator.domain.failure import (
    LONGEST_MESSAGE,
    MOST_ATTEMPTS,
    MOST_CAUSES,
    describe,
    kinds_of,
    with_attempts,
)
from orchestrator.domain.retry import RetryPolicy

NOW = datetime(2030, 1, 1, tzinfo=UTC)


class ReportFailed(Exception):
    """What an agent's own code raises."""


def raised(*, outer: Exception, cause: Exception, on_purpose: bool = True) -> Exception:
    """`outer` as it arrives when it was raised while `cause` was handled."""
    try:
        try:
            raise cause
        except Exception as error:
            if on_purpose:
                raise outer from error
            raise outer  # noqa: B904  # what was handled meanwhile is the point
    except Exception as error:
        return error


@pytest.mark.parametrize("on_purpose", [True, False], ids=["from", "while"])
def test_the_whole_chain_is_told(on_purpose: bool) -> None:
    middle = raised(outer=OSError("no disk"), cause=KeyError("x"), on_purpose=on_purpose)
    error = raised(outer=ReportFailed("no report"), cause=middle, on_purpose=on_purpose)
    fault = describe(error)
    assert (fault["type"], fault["message"]) == ("ReportFailed", "no report")
    assert fault["causes"] == [
        {"type": "OSError", "message": "no disk"},
        {"type": "KeyError", "message": "'x'"},
    ]
    assert "no disk" in fault["traceback"]


def test_an_error_without_a_cause_names_none() -> None:
    assert "causes" not in describe(ValueError("alone"))
    hidden = raised(outer=ValueError("alone"), cause=KeyError("x"))
    hidden.__cause__ = None  # as `raise ... from None` has it
    assert "causes" not in describe(hidden)


def test_members_of_a_group_are_causes() -> None:
    group = ExceptionGroup("two tasks", [ValueError("a"), OSError("b")])
    assert [one["type"] for one in describe(group)["causes"]] == ["ValueError", "OSError"]


def test_a_chain_is_bounded() -> None:
    error: Exception = ValueError("0")
    for number in range(50):
        error = raised(outer=ValueError("x" * 10_000 + str(number)), cause=error)
    fault = describe(error)
    assert len(fault["causes"]) == MOST_CAUSES
    assert len(json.dumps(fault)) < (MOST_CAUSES + 6) * LONGEST_MESSAGE


def test_a_chain_that_bites_its_tail_ends() -> None:
    error, other = ValueError("a"), OSError("b")
    error.__cause__, other.__cause__ = other, error
    assert [one["type"] for one in describe(error)["causes"]] == ["OSError"]
    assert len(kinds_of(error)) == 2


def test_what_cannot_be_told_or_stored_is_told_otherwise() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    error = raised(outer=ValueError("\x00 \ud800"), cause=Mute())
    fault = describe(error)
    assert fault["message"] == "\\0 ?"
    assert "cannot be told" in fault["causes"][0]["message"]


def test_attempts_add_up_and_are_bounded() -> None:
    fault: dict[str, Any] | None = None
    for attempt in range(1, 40):
        fault = with_attempts(describe(ValueError(str(attempt))), fault, attempt, NOW)
    assert fault is not None
    assert fault["message"] == "39"
    assert [one["attempt"] for one in fault["attempts"]] == list(range(40 - MOST_ATTEMPTS, 40))
    assert fault["attempts"][-1] == {
        "attempt": 39,
        "type": "ValueError",
        "message": "39",
        "at": NOW.isoformat(),
    }


WRAPPED = raised(outer=ReportFailed("no"), cause=ConnectionResetError("reset"))
MEANWHILE = raised(outer=ReportFailed("no"), cause=KeyError("x"), on_purpose=False)
ME = f"{__name__}.ReportFailed"


@pytest.mark.parametrize(
    ("lists", "error", "retried"),
    [
        ({}, ValueError(), True),
        ({"retry_on": (ValueError,)}, ValueError(), True),
        ({"retry_on": (ValueError,)}, KeyError(), False),
        ({"retry_on": ("ValueError",)}, UnicodeError(), True),
        ({"retry_on": (OSError,)}, ConnectionResetError(), True),
        ({"retry_on": (ConnectionResetError,)}, OSError(), False),
        ({"give_up_on": (OSError,)}, ConnectionResetError(), False),
        ({"give_up_on": ("ConnectionError",)}, ConnectionResetError(), False),
        ({"give_up_on": (OSError,)}, ValueError(), True),
        # Both lists
        ({"retry_on": (OSError,), "give_up_on": (ConnectionError,)}, ConnectionError(), False),
        ({"retry_on": (OSError,), "give_up_on": (ConnectionError,)}, TimeoutError(), True),
        # What it was raised from on purpose
        ({"retry_on": (ConnectionError,)}, WRAPPED, True),
        ({"give_up_on": (ConnectionError,)}, WRAPPED, False),
        ({"retry_on": (ReportFailed,), "give_up_on": (ConnectionError,)}, WRAPPED, True),
        ({"retry_on": (ConnectionError,), "give_up_on": (ReportFailed,)}, WRAPPED, False),
        # What only happened to be handled
        ({"give_up_on": (KeyError,)}, MEANWHILE, True),
        # Names with and without their module
        ({"give_up_on": (ReportFailed,)}, WRAPPED, False),
        ({"give_up_on": (ME,)}, WRAPPED, False),
        ({"give_up_on": ("ReportFailed",)}, WRAPPED, False),
        ({"give_up_on": ("other.ReportFailed",)}, WRAPPED, True),
        # Groups of tasks
        ({"give_up_on": (ValueError,)}, ExceptionGroup("g", [OSError(), ValueError()]), False),
        # From outside of Python only a name is known
        ({"give_up_on": (ValueError,)}, "ValueError", False),
        ({"retry_on": (OSError,)}, "Timeout", False),
    ],
    ids=str,
)
def test_a_policy_judges_as_except_would(
    lists: dict[str, Any], error: Exception | str, retried: bool
) -> None:
    policy = RetryPolicy(max_attempts=5, **lists)
    # As it is recorded with an agent
    policy = RetryPolicy.from_dict(json.loads(json.dumps(policy.to_dict())))
    assert policy.allows(1, error) is retried
    kinds = kinds_of(error) if isinstance(error, Exception) else ((error,),)
    assert policy.allows(1, kinds) is retried
    assert policy.allows(5, error) is False


@pytest.mark.parametrize("wrong", [1, int, "", None], ids=repr)
@pytest.mark.parametrize("field", ["retry_on", "give_up_on"])
def test_a_list_of_anything_else_is_refused(field: str, wrong: object) -> None:
    with pytest.raises(ConfigurationError, match=field):
        RetryPolicy(**{field: (wrong,)})  # type: ignore[arg-type]  # the wrong value is the point


def test_one_class_or_name_need_not_be_a_tuple() -> None:
    one: Any = OSError
    name: Any = "E"
    assert RetryPolicy(retry_on=one, give_up_on=name) == RetryPolicy(
        retry_on=("builtins.OSError",), give_up_on=("E",)
    )


def test_a_policy_recorded_by_an_older_version_is_read() -> None:
    old = {"max_attempts": 2, "first_delay": 1.0, "max_delay": 2.0, "give_up_on": ["E"]}
    assert RetryPolicy.from_dict(old) == RetryPolicy(2, 1.0, 2.0, ("E",))
