"""The seeded mistakes of `mutants.py` still fit the scripts; whether the model test finds them
takes minutes: `python -m tests.gate.mutants`."""

from __future__ import annotations

from importlib.resources import files

import pytest

from tests.gate.mutants import Mutation, read

ALL = list(read())


@pytest.mark.parametrize("mutation", ALL, ids=str)
def test_a_mistake_can_still_be_made(mutation: Mutation) -> None:
    text = files("orchestrator.admission").joinpath(f"lua/{mutation.file}.lua").read_text()
    assert mutation.apply(mutation.file, text) != text


def test_no_mistake_is_made_twice() -> None:
    assert len(set(ALL)) == len(ALL)
