"""deadlocks: circles of waits, and slots that only wait."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from orchestrator.cli import output
from orchestrator.client.orchestrator import Orchestrator
from orchestrator.domain.instance import Event
from orchestrator.domain.waits import Stall, WaitNode, chain_of


def add_to(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(deadlocks)


def deadlocks(
    limit: Annotated[int, typer.Option(help="At most so many.", min=1, max=10_000)] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the newest deadlocks, and where every slot is held by attempts that only wait."""
    with Orchestrator.from_settings() as orchestrator:
        found, stalls = orchestrator.deadlocks(limit), orchestrator.stalls()
    if as_json:
        output.as_json(
            {
                "deadlocks": [one.to_dict() for one in found],
                "stalls": [one.to_dict() for one in stalls],
            }
        )
        return
    _deadlocks(found)
    _stalls(stalls)


def _deadlocks(found: Sequence[Event]) -> None:
    table = Table(box=None, pad_edge=False)
    for title in ("at", "circle", "whose wait failed", "tenant"):
        table.add_column(title)
    for one in found:
        table.add_row(
            f"{one.at:%Y-%m-%d %H:%M:%S}",
            escape(_circle(one.detail or {})),
            one.instance_id,
            escape(one.tenant),
        )
    output.out.print(table)


def _circle(detail: dict[str, Any]) -> str:
    return chain_of([WaitNode(**node) for node in detail["cycle"]])


def _stalls(stalls: Sequence[Stall]) -> None:
    for one in stalls:
        where = f"{one.scope} {one.name}".strip()
        output.line(
            f"All {one.limit} slots of {where} are held by attempts that only wait, {one.holder} "
            f"among them, while {one.waiting} are in line."
        )
