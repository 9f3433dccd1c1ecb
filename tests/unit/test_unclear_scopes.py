"""What a limit is set for has one form, and nothing else is taken for it."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.admission.keys import limit_field
from orchestrator.domain.errors import InvalidRequest
from orchestrator.domain.scope import Scope, check_value, parse_scope

FIELDS = {
    "session": "session",
    "max_depth": "max_depth",
    "tenant:acme": "tenant:acme",
    "tenant:a:b c": "tenant:a:b c",
    "agent:team/researcher": "agent:team/researcher",
    "session:acme/s1": "session:4 acmes1",
    "session:ä/s/1": "session:2 äs/1",
    "session:a%2Fb%25/s": "session:4 a/b%s",
    "weight:tenant:acme": "weight:tenant:acme",
    "weight:session:acme/s1": "weight:session:4 acmes1",
}


@pytest.mark.parametrize("text", FIELDS)
def test_what_scripts_call_it(text: str) -> None:
    assert limit_field(parse_scope(text)) == FIELDS[text]


names = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=20)


@given(tenant=names, session=names)
def test_every_session_of_every_tenant_can_be_named(tenant: str, session: str) -> None:
    for kind in ("session", "weight:session"):
        scope = Scope(kind, session, tenant)
        assert parse_scope(str(scope)) == scope


@given(st.text(max_size=40))
def test_anything_else_is_one_clear_error(text: str) -> None:
    with suppress(InvalidRequest):
        scope = parse_scope(text)
        assert parse_scope(str(scope)) == scope


@pytest.mark.parametrize("value", [0, 1, 10**9, "7", " 7 ", 3.0])
def test_whole_numbers_are_limits(value: float | str) -> None:
    assert check_value(Scope("tenant"), value) == float(value)


@pytest.mark.parametrize("value", [-1, 10**9 + 1, 0.5, "", "x", None, "1e400", float("nan")])
def test_nothing_else_is(value: Any) -> None:
    with pytest.raises(InvalidRequest, match="whole number"):
        check_value(Scope("tenant"), value)


@pytest.mark.parametrize("value", [0.001, 0.5, 4, 1e6])
def test_weights_may_be_fractions(value: float) -> None:
    assert check_value(Scope("weight:tenant", "acme"), value) == value


@pytest.mark.parametrize("value", [0, -1, 1e-4, 1e7, "inf", "nan"])
def test_a_weight_is_never_nothing(value: float | str) -> None:
    with pytest.raises(InvalidRequest, match="weighs 1"):
        check_value(Scope("weight:tenant", "acme"), value)
