"""Every command there is, also those below another, by how it is typed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer
from typer.core import TyperGroup

from orchestrator.cli.main import app


def every_command() -> Iterator[tuple[str, Any]]:
    """Name, as in `limits set`, and command. A group is here too: alone, it shows something."""
    yield from _below(typer.main.get_command(app), "")


def _below(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    if name:
        yield name, command
    if isinstance(command, TyperGroup):
        for word, one in command.commands.items():
            yield from _below(one, f"{name} {word}".strip())
