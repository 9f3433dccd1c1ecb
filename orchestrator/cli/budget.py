"""budget: what a session or an instance may use, and what is left of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from orchestrator.cli import output
from orchestrator.client.orchestrator import Orchestrator
from orchestrator.domain.budget import BudgetState, BudgetUse


def add_to(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(budget)


def budget(
    session_or_id: Annotated[str, typer.Argument(help="A session, or the id of an instance.")],
    tenant: Annotated[str, typer.Option(help="Whose session it is.")] = "default",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show a budget and those above it, nearest first."""
    with Orchestrator.from_settings() as orchestrator:
        found = orchestrator.budget(session_or_id, tenant=tenant)
    if as_json:
        output.as_json([one.to_dict() for one in found])
    elif not found:
        output.line("No budget holds here.")
    else:
        _print(found)


def _print(found: Sequence[BudgetState]) -> None:
    table = Table(box=None, pad_edge=False)
    for title in ("budget", "quantity", "limit", "used", "reserved", "granted", "left"):
        table.add_column(title, no_wrap=title == "budget")
    for one in found:
        owner = escape(one.owner)
        for use in one.uses:
            table.add_row(owner, *_cells(use))
        for name, limit, current in _bounds(one):
            table.add_row(owner, name, limit, current, "", "", "")
    output.out.print(table)


def _cells(use: BudgetUse) -> list[str]:
    amounts = (use.limit, use.used, use.reserved, use.granted, use.left)
    return [use.quantity, *(f"{amount:.9g}" for amount in amounts)]


def _bounds(one: BudgetState) -> list[tuple[str, str, str]]:
    rows = []
    if one.live_limit is not None:
        rows.append(("live", str(one.live_limit), str(one.live)))
    if one.depth is not None:
        rows.append(("depth", str(one.depth), ""))
    if one.deadline is not None:
        rows.append(("deadline", f"{one.deadline:%Y-%m-%d %H:%M:%S}", ""))
    end = f"exhausted: {one.exhausted}" if one.exhausted else ""
    rows.append(("on_exhausted", one.on_exhausted, end))
    return rows
