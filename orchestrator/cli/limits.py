"""limits and queue: the bounds, and what waits for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from orchestrator.cli import output
from orchestrator.client.orchestrator import Orchestrator
from orchestrator.domain.limits import LimitChange, LimitState
from orchestrator.domain.queue import QueueRow

AsJSON = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Scope = Annotated[
    str,
    typer.Argument(
        help="What it is for: session, tenant:acme, agent:researcher, session:acme/s1, pool:gpu, "
        "global, weight:tenant:acme, ..."
    ),
]

limits_app = typer.Typer(help="Show the limits, or change them for all processes at once.")


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    app.add_typer(limits_app, name="limits")
    app.command()(queue)


@limits_app.callback(invoke_without_command=True)
def show(context: typer.Context, as_json: AsJSON = False) -> None:
    """Show the limits, or change them for all processes at once."""
    if context.invoked_subcommand is not None:
        return
    with Orchestrator.from_settings() as orchestrator:
        found = orchestrator.limits()
    output.as_json([one.to_dict() for one in found]) if as_json else _limits(found)


# What looks like an option may be a negative number, which is no limit and is told so.
@limits_app.command("set", context_settings={"ignore_unknown_options": True})
def set_(
    scope: Scope,
    value: Annotated[str, typer.Argument(help="How many, or the weight.")],
    as_json: AsJSON = False,
) -> None:
    """Set a limit or a weight. It holds at once, and until it is unset."""
    with Orchestrator.from_settings() as orchestrator:
        change = orchestrator.set_limit(scope, value, set_by=output.user())
    output.as_json(change.to_dict()) if as_json else _changed(change)


@limits_app.command()
def unset(scope: Scope, as_json: AsJSON = False) -> None:
    """Take back what was set; the settings hold again."""
    with Orchestrator.from_settings() as orchestrator:
        change = orchestrator.unset_limit(scope, set_by=output.user())
    output.as_json(change.to_dict()) if as_json else _changed(change)


# See `set`.
@limits_app.command("what-if", context_settings={"ignore_unknown_options": True})
def what_if(
    scope: Scope,
    value: Annotated[str, typer.Argument(help="How many.")],
    as_json: AsJSON = False,
) -> None:
    """Say what setting a limit would do now, and do nothing."""
    with Orchestrator.from_settings() as orchestrator:
        found = orchestrator.what_if(scope, value)
    if as_json:
        output.as_json(found.to_dict())
        return
    now = _number(found.in_force) or "no bound"
    output.line(f"{found.scope}: {now} -> {_number(found.value)}; {found.used} in use.")
    output.line(f"Of {found.waiting} that wait for it, {found.would_start} would start at once.")
    if found.would_drain:
        output.line(f"{found.would_drain} would have to end before anybody new starts.")


def queue(
    most: Annotated[int, typer.Option("--limit", help="At most so many rows a table.", min=1)] = 20,
    as_json: AsJSON = False,
) -> None:
    """Show what waits and runs now, by pool, line, tenant and session."""
    with Orchestrator.from_settings() as orchestrator:
        state = orchestrator.queue()
    if as_json:
        output.as_json(state.to_dict())
        return
    _rows("in all", [state.total], most)
    _rows("pool", state.pools, most)
    _rows("line", state.lines, most)
    _rows("tenant", state.tenants, most)
    _rows("session", state.sessions, most)


def _limits(found: Sequence[LimitState]) -> None:
    table = Table(box=None, pad_edge=False)
    for title in ("limit", "settings", "operator", "in force", "in use", "set by"):
        table.add_column(title, justify="left" if title in ("limit", "set by") else "right")
    for one in found:
        used = "" if one.used is None else str(one.used)
        table.add_row(
            escape(one.scope),
            _number(one.setting),
            f"[bold]{_number(one.operator)}[/]",
            "paused" if one.paused else _number(one.in_force) or "no bound",
            used + (f" ({escape(one.busiest)})" if one.busiest else ""),
            f"{escape(one.set_by or '?')} {one.set_at:%Y-%m-%d %H:%M:%S}" if one.set_at else "",
        )
    output.out.print(table)


def _rows(title: str, rows: Sequence[QueueRow], most: int) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column(title, min_width=30)
    for column in (
        "queued",
        "delayed",
        "running",
        "waiting",
        "paused",
        "limit",
        "offered",
        "weight",
    ):
        table.add_column(column, justify="right", min_width=8)
    for row in rows[:most]:
        counts = (row.queued, row.delayed, row.running, row.waiting, row.paused)
        bounds = (row.limit, row.offered, row.weight)
        table.add_row(escape(row.name), *map(str, counts), *map(_number, bounds))
    output.out.print(table)
    if len(rows) > most:
        output.line(f"... and {len(rows) - most:,} more")
    output.line("")


def _changed(change: LimitChange) -> None:
    before = "as in the settings" if change.before is None else _number(change.before)
    now = "as in the settings" if change.value is None else _number(change.value)
    if change.value is None and change.before is None:
        output.line(f"{change.scope} was not set.")
    else:
        output.line(f"{change.scope}: {before} -> {now}")
    if not change.in_force:
        output.line("It is recorded. Redis does not answer now; it follows once it does.")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.10g}"
