"""Ids are distinct, sort by time, and nothing else passes for one."""

from __future__ import annotations

import time
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.errors import InvalidRequest
from orchestrator.domain.ids import new_id, parse_id


def test_an_id_is_a_uuid_of_version_7() -> None:
    for _ in range(1_000):
        value = uuid.UUID(new_id())
        assert value.version == 7
        assert value.variant == uuid.RFC_4122


def test_many_of_one_moment_are_distinct() -> None:
    assert len({new_id() for _ in range(20_000)}) == 20_000


def test_ids_carry_the_time_they_were_made() -> None:
    before = time.time_ns() // 1_000_000
    milliseconds = uuid.UUID(new_id()).int >> 80
    assert before <= milliseconds <= time.time_ns() // 1_000_000


@given(st.lists(st.integers(0, 2**48 - 1), min_size=2, max_size=2, unique=True))
def test_ids_sort_by_time(moments: list[int]) -> None:
    earlier, later = sorted(moments)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time_ns", lambda: earlier * 1_000_000)
        first = new_id()
        patch.setattr(time, "time_ns", lambda: later * 1_000_000)
        assert first < new_id()


@given(st.uuids())
def test_other_spellings_are_brought_to_one(value: uuid.UUID) -> None:
    for spelling in (str(value), str(value).upper(), value.hex, f"{{{value}}}", value.urn):
        assert parse_id(spelling) == str(value)


@pytest.mark.parametrize("text", ["", "x", "1234", "0" * 31, "0" * 33, None, 7, b"0" * 32])
def test_anything_else_is_no_id(text: object) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_id(text)  # type: ignore[arg-type]  # the wrong types are the point
    assert caught.value.code == "INVALID_ID"
    assert repr(text) in str(caught.value)
