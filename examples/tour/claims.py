"""What a proof says, and whether it is so."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rich.console import Console, RenderableType
from rich.padding import Padding

from orchestrator import Handle, Orchestrator

TENANT = "tour"


class NotProved(AssertionError):
    """Something that was claimed is not so."""


class Stage:
    """Where a proof spawns and shows what it does.

    `run` names this tour: its sessions are its own. `console` None shows nothing.
    """

    def __init__(self, orchestrator: Orchestrator, run: str, console: Console | None) -> None:
        self.orchestrator = orchestrator
        self.run = run
        self._console = console

    def session(self, name: str) -> str:
        """A session that no tour before has used."""
        return f"{name}-{self.run}"

    def spawn(self, agent: str, args: dict[str, Any], session: str, **options: Any) -> Handle:
        """Spawn an agent in a session of this tour."""
        return self.orchestrator.spawn(
            agent, args, session=self.session(session), tenant=TENANT, **options
        )

    def show(self, what: RenderableType) -> None:
        """Show something, set in."""
        if self._console is not None:
            self._console.print(Padding(what, (0, 0, 0, 4), expand=False), highlight=False)

    def claim(self, what: str, is_so: object) -> None:
        """Say that something is so; raises `NotProved` when it is not."""
        if not is_so:
            raise NotProved(what)
        self.show(f"[green]ok[/] {what}")


def until(fact: Callable[[], object], what: str, seconds: float = 20.0) -> None:
    """Wait until something is so; raises `NotProved` when it never is."""
    deadline = time.monotonic() + seconds
    while not fact():
        if time.monotonic() > deadline:
            raise NotProved(f"not within {seconds:g} s: {what}")
        time.sleep(0.02)
