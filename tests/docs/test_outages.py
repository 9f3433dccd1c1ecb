"""The table of outages names tests that exist, at least one in each row."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/explanation/outages.md").read_text()
ROWS = [
    row
    for row in PAGE.partition("## The table")[2].partition("## ")[0].splitlines()
    if row.startswith("| ") and not row.startswith("| what ")
]


def test_there_is_a_row_for_each_outage() -> None:
    told = " ".join(row.split("|")[1] for row in ROWS)
    for words in ("Redis down", "Redis slow", "emptied", "PostgreSQL down", "beat", "workers"):
        assert words in told


def test_each_row_names_tests_that_exist() -> None:
    for row in ROWS:
        named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", row)
        assert named, row
        for path, name in named:
            text = (ROOT / path).read_text()
            assert name == "" or f"def {name}(" in text, f"{path}::{name}"
