"""Every SQL statement has a name and a home: the `.sql` files beside this module."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


@cache
def statements() -> dict[str, str]:
    """All statements by name, without their comments."""
    found: dict[str, str] = {}
    for page in sorted(files("orchestrator.store").joinpath("sql").iterdir(), key=str):
        _, *parts = _NAME.split(page.read_text())
        for name, text in zip(parts[::2], parts[1::2], strict=True):
            assert name not in found, f"two statements are named {name}"
            found[name] = _without_comments(text)
    return found


def statement(name: str) -> str:
    """The text of one statement, with `%(parameter)s` places."""
    return statements()[name]


def _without_comments(text: str) -> str:
    lines = (line for line in text.splitlines() if not line.startswith("--"))
    return "\n".join(lines).strip().rstrip(";")
