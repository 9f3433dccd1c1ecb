"""Danger: a page made from the code is older than the code."""

from __future__ import annotations

import pytest

from docs import generate
from orchestrator.admission.keys import KEYS
from orchestrator.domain.lifecycle import Reason, State


def test_they_are_current() -> None:
    assert generate.outdated() == [], "run `python -m docs.generate`"


def test_the_gate_page_has_every_key_and_script() -> None:
    page = generate.gate_page()
    assert [name for name in KEYS if f"`{name}`" not in page] == []
    scripts = [path.stem for path in generate.LUA.glob("*.lua")]
    assert [name for name in scripts if f"### `{name}`" not in page] == []


def test_the_lifecycle_page_has_every_state_and_reason() -> None:
    page = generate.lifecycle_page()
    assert [one for one in [*State, *Reason] if f"| `{one}` |" not in page] == []


def test_a_header_is_read_with_its_wrapped_lines() -> None:
    header = generate.read_header(
        "-- pause: stop it\n-- for a while.\n--\n"
        "-- Guarantee  first: one.\n--            second: two.\n"
        "-- ARGV    id\n-- ARGV    more...\nlocal x"
    )
    assert header.verbs == {"pause": "stop it for a while."}
    assert header.fields["Guarantee"] == "first: one. second: two."
    assert header.fields["ARGV"] == "id more..."


def test_a_check_names_what_is_old(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = next(iter(generate.PAGES))
    monkeypatch.setattr(generate, "PAGES", {page: lambda: "new text"})
    assert generate.main(["--check"]) == 1
    assert str(page) in capsys.readouterr().err
