"""Arguments and results: what passes the check survives; what does not is named."""

from __future__ import annotations

import json
import math
from collections import OrderedDict, UserDict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain import payload

ENOUGH = 10**9

#: Everything JSON and PostgreSQL both can hold.
text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=8)
numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
storable = st.recursive(
    st.none() | st.booleans() | numbers | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=12,
)

#: Values that must be refused wherever they stand, and a word of the refusal.
FAULTS: list[tuple[Any, str]] = [
    (math.nan, "nan"),
    (math.inf, "inf"),
    (-math.inf, "-inf"),
    ("a\x00b", "NUL"),
    ("\ud800", "surrogate"),
    (b"bytes", "bytes"),
    ({1, 2}, "set"),
    (object(), "object"),
    (1 + 2j, "complex"),
    (10**5_000, "digits"),
    (UserDict(), "UserDict"),
]
faults = pytest.mark.parametrize(("fault", "word"), FAULTS, ids=lambda value: type(value).__name__)


def encode(value: object, max_bytes: int = ENOUGH) -> str:
    return payload.encode(value, name="args", max_bytes=max_bytes)


@given(storable)
def test_what_passes_comes_back_the_same(value: Any) -> None:
    assert json.loads(encode(value)) == value


@given(storable)
def test_what_passes_is_legal_text_for_postgresql(value: Any) -> None:
    encoded = encode(value)
    assert "\\u0000" not in encoded.replace("\\\\", "")
    encoded.encode()  # strict UTF-8: no lone surrogate


def bury(path: list[str | int], leaf: object) -> object:
    """The leaf within lists (numbers of the path) and mappings (names of the path)."""
    value = leaf
    for step in reversed(path):
        value = [*([0] * step), value] if isinstance(step, int) else {step: value}
    return value


def spell(path: list[str | int]) -> str:
    return "args" + "".join(f"[{s}]" if isinstance(s, int) else f".{s}" for s in path)


@given(
    path=st.lists(st.integers(0, 3) | text, max_size=4),
    fault=st.sampled_from([value for value, _ in FAULTS]),
)
def test_a_fault_is_named_by_the_path_to_it(path: list[str | int], fault: Any) -> None:
    with pytest.raises(payload.NotJSON) as caught:
        encode(bury(path, fault))
    assert spell(path) in str(caught.value)


@faults
def test_a_refusal_says_what_is_wrong(fault: Any, word: str) -> None:
    with pytest.raises(payload.NotJSON, match=word):
        encode({"urls": ["fine", fault]})


@pytest.mark.parametrize("key", [1, 1.5, None, True, ("a", "b")])
def test_a_key_that_is_no_string_is_refused_rather_than_changed(key: object) -> None:
    """`json.dumps` would turn 1 into "1" and True into "true" without a word."""
    with pytest.raises(payload.NotJSON, match=r"args\.outer has the key"):
        encode({"outer": {key: 1}})


@pytest.mark.parametrize("key", ["nul\x00", "lone\udfff"])
def test_a_key_that_cannot_be_stored_is_refused(key: str) -> None:
    with pytest.raises(payload.NotJSON, match=r"the key .* of args\.outer"):
        encode({"outer": {key: 1}})


def test_a_value_that_contains_itself_is_refused() -> None:
    knot: list[Any] = []
    knot.append(knot)
    with pytest.raises(payload.NotJSON, match="itself"):
        encode({"knot": knot})


def test_a_value_nested_too_deep_is_refused() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(payload.NotJSON, match="levels"):
        encode(deep)


def test_a_tuple_counts_as_a_list() -> None:
    assert encode({"pair": (1, 2)}) == '{"pair":[1,2]}'


def test_a_mapping_of_another_kind_counts_as_a_mapping() -> None:
    assert encode(OrderedDict(a=1)) == '{"a":1}'


def test_a_text_that_only_looks_like_a_nul_passes() -> None:
    assert json.loads(encode("\\u0000")) == "\\u0000"


@given(storable)
def test_the_bound_is_in_bytes_of_utf8_and_exact(value: Any) -> None:
    size = len(encode(value).encode())
    assert encode(value, max_bytes=size)
    with pytest.raises(payload.TooLarge, match=f"{size:,} bytes.*at most {size - 1:,}"):
        encode(value, max_bytes=size - 1)


def test_too_large_says_what_to_do() -> None:
    with pytest.raises(payload.TooLarge, match="ORCHESTRATOR_MAX_PAYLOAD_BYTES"):
        encode("x" * 100, max_bytes=10)
