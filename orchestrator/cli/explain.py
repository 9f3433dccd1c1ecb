"""explain: why an instance is not running."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from orchestrator.cli import output
from orchestrator.client.orchestrator import Orchestrator
from orchestrator.domain.explanation import Constraint, Explanation


def add_to(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(explain)


def explain(
    instance_id: Annotated[str, typer.Argument(metavar="ID", help="The id of an instance.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Explain why an instance is not running, who holds what it needs, and when it may start."""
    with Orchestrator.from_settings() as orchestrator:
        found = orchestrator.explain(instance_id)
    output.as_json(found.to_dict()) if as_json else _print(found)


def _print(found: Explanation) -> None:
    output.line(f"{found.agent} {found.id} is {found.state}. {found.summary}")
    if found.constraints:
        output.line("")
        _constraints(found)
    if found.position is not None:
        output.line("")
        output.line(
            f"Its place is {found.position_in_flow} of {found.flow_length} in its session, and "
            f"about {found.position} of {found.waiting} in all."
        )
        output.line(_start(found.expected_start))


def _constraints(found: Explanation) -> None:
    table = Table(box=None, pad_edge=False)
    for title in ("held by", "limit", "in use", "until", "who holds it"):
        table.add_column(title, justify="right" if title in ("limit", "in use") else "left")
    for one in found.constraints:
        table.add_row(
            escape(f"{one.kind} {one.name}".strip()),
            "" if one.limit is None else f"{one.limit:g}",
            "" if one.used is None else str(one.used),
            "" if one.until is None else f"{one.until:%H:%M:%S} UTC",
            _holders(one),
        )
    output.out.print(table)


def _holders(one: Constraint) -> str:
    more = (one.used or 0) - len(one.holders)
    return "\n".join([*one.holders, *([f"and {more} more"] if more > 0 else [])])


def _start(start: datetime | None) -> str:
    if start is None:
        return "When it starts cannot be said: nothing has moved lately."
    seconds = max(0.0, (start - datetime.now(UTC)).total_seconds())
    return f"It may start in about {seconds:.0f} s."
