"""Names, priorities and limits: what the wire and the queues can carry, and nothing else."""

from __future__ import annotations

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.errors import InvalidSpawn
from orchestrator.domain.limits import Limits
from orchestrator.domain.names import check_identifier, check_label, is_identifier
from orchestrator.domain.priority import Priority, parse_priority
from orchestrator.transport.envelope import render

UNFIT = ["", "-x", ".x", "/x", "_x", "a b", "a\n", "é", "a:b", "a\x06b", "a{b", "x" * 101, None, 3]


@pytest.mark.parametrize("name", ["a", "A9", "a.b/c-d_e", "x" * 100])
def test_plain_names_fit(name: str) -> None:
    assert is_identifier(name)
    check_identifier("an agent", name)


@pytest.mark.parametrize("name", UNFIT, ids=repr)
def test_a_name_that_the_wire_cannot_carry_is_refused(name: object) -> None:
    assert not is_identifier(name)
    with pytest.raises(InvalidSpawn, match="cannot name an agent") as caught:
        check_identifier("an agent", name)
    assert caught.value.code == "INVALID_NAME"
    assert repr(name) in str(caught.value)


@given(st.text(max_size=5))
def test_whatever_fits_needs_no_escaping_in_the_message(name: str) -> None:
    """The gate's scripts put names into JSON text as they are."""
    if is_identifier(name):
        assert '"' not in name
        assert "\\" not in name
        assert name in render("id", 1, name, "queue", 0)


@pytest.mark.parametrize("label", ["s", "ä ö 漢字", "a" * 200, "a:b {c} [d]"])
def test_labels_are_the_users_own(label: str) -> None:
    check_label("a session", label)


@pytest.mark.parametrize("label", ["", "a" * 201, "a\nb", "a\x00", "\ud800", None, 5], ids=repr)
def test_a_label_that_cannot_be_shown_is_refused(label: object) -> None:
    with pytest.raises(InvalidSpawn, match="cannot be a session") as caught:
        check_label("a session", label)
    assert caught.value.code == "INVALID_NAME"


@given(st.sampled_from(Priority))
def test_a_priority_is_found_by_its_name_and_by_itself(priority: Priority) -> None:
    assert parse_priority(priority) is priority
    assert parse_priority(priority.label) is priority
    assert parse_priority(priority.label.upper()) is priority


def test_smaller_is_more_urgent() -> None:
    assert [one.label for one in sorted(Priority)] == [
        "critical",
        "high",
        "normal",
        "low",
        "background",
    ]


@pytest.mark.parametrize("value", ["", "urgent", "0", None, 2, 2.0, ["high"]], ids=repr)
def test_another_priority_is_refused_with_those_there_are(value: object) -> None:
    with pytest.raises(InvalidSpawn) as caught:
        parse_priority(value)  # type: ignore[arg-type]  # the wrong types are the point
    assert caught.value.code == "INVALID_PRIORITY"
    assert repr(value) in str(caught.value)
    assert "critical, high, normal, low, background" in str(caught.value)


def test_the_default_limits_are_those_of_the_design() -> None:
    limits = Limits()
    assert (limits.max_depth, limits.session_concurrency) == (5, 10)
    assert (limits.tenant_queue, limits.global_queue) == (10_000, 100_000)


@pytest.mark.parametrize("name", [field.name for field in fields(Limits)])
def test_a_limit_below_its_least_is_refused_by_name(name: str) -> None:
    least = 0 if name == "max_depth" else 1
    assert getattr(Limits(**{name: least}), name) == least
    with pytest.raises(ValueError, match=f"{name} is {least - 1}"):
        Limits(**{name: least - 1})
