"""Danger: a password in the arguments of an agent is on everybody's terminal."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.domain.redact import HIDDEN, redact


@pytest.mark.parametrize(
    "value",
    [
        {"password": "x"},
        {"args": {"db": {"Password": "x"}}},
        {"args": {"hosts": [{"db_password": "x"}]}},
        {"children": [{"args": {"OPENAI_API_KEY": {"a": 1}}}]},
        {"headers": {"Authorization": "Bearer x"}},
    ],
)
def test_well_known_secrets_are_hidden_anywhere(value: dict[str, Any]) -> None:
    shown = str(redact(value))
    assert HIDDEN in shown
    assert "'x'" not in shown
    assert "Bearer" not in shown


def test_rules_name_fields_by_their_path() -> None:
    value = {"args": {"card": {"number": "4000", "kind": "visa"}, "number": 3}}
    hidden = {"args": {"card": {"number": HIDDEN, "kind": "visa"}, "number": 3}}
    assert redact(value, ["args.card.number"]) == hidden
    assert redact({"children": [value]}, ["args.card.number"]) == {"children": [hidden]}
    assert redact(value, ["card.*"]) == {
        "args": {"card": {"number": HIDDEN, "kind": HIDDEN}, "number": 3}
    }


def test_what_no_rule_names_is_as_it_was() -> None:
    value = {"tokens": 3, "authorizations": [1, "a", None], "password": None, "secretary": "Ann"}
    assert redact(value, ["card.*"]) == value


def test_the_value_itself_is_not_changed() -> None:
    value = {"args": {"password": "x"}}
    redact(value)
    assert value == {"args": {"password": "x"}}
