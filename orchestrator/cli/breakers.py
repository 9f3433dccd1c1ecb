"""breakers: which resources can be called, and an operator's word on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from orchestrator.cli import output
from orchestrator.client.orchestrator import Orchestrator
from orchestrator.domain.call import Breaker

AsJSON = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Name = Annotated[str, typer.Argument(metavar="RESOURCE", help="The name of the resource.")]
Tenant = Annotated[
    str | None, typer.Option(help="Only that of this tenant, where each has its own.")
]

COLOURS = {"closed": "green", "half_open": "yellow", "open": "red"}

breakers_app = typer.Typer(help="Show breakers, buckets and calls, or hold a breaker.")


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    app.add_typer(breakers_app, name="breakers")


@breakers_app.callback(invoke_without_command=True)
def show(context: typer.Context, as_json: AsJSON = False) -> None:
    """Show breakers, buckets and calls, or hold a breaker."""
    if context.invoked_subcommand is not None:
        return
    with Orchestrator.from_settings() as orchestrator:
        found = orchestrator.breakers()
    output.as_json([one.to_dict() for one in found]) if as_json else _table(found)


@breakers_app.command("open")
def open_(resource: Name, tenant: Tenant = None, as_json: AsJSON = False) -> None:
    """Let no call through until said otherwise."""
    _force(resource, tenant, "open", as_json)


@breakers_app.command()
def close(resource: Name, tenant: Tenant = None, as_json: AsJSON = False) -> None:
    """Let calls through whatever happens, until said otherwise."""
    _force(resource, tenant, "closed", as_json)


@breakers_app.command()
def auto(resource: Name, tenant: Tenant = None, as_json: AsJSON = False) -> None:
    """Leave the breaker to itself again; it begins closed and lets few calls through at first."""
    _force(resource, tenant, "auto", as_json)


def _force(resource: str, tenant: str | None, mode: str, as_json: bool) -> None:
    with Orchestrator.from_settings() as orchestrator:
        orchestrator.force_breaker(resource, mode, tenant=tenant)
    if as_json:
        output.as_json({"resource": resource, "tenant": tenant, "mode": mode})
    else:
        output.line(f"{resource}: {mode}")


def _table(found: Sequence[Breaker]) -> None:
    table = Table(box=None, pad_edge=False)
    titles = ("resource", "tenant", "breaker", "opens in", "failures", "calls", "waiting", "left")
    for title in titles:
        table.add_column(title, no_wrap=title == "resource")
    for one in found:
        state = one.forced or one.state
        held = " (held)" if one.forced else ""
        levels = ", ".join(f"{name} {level:g}" for name, level in one.levels.items())
        table.add_row(
            one.resource,
            escape(one.tenant or ""),
            f"[{COLOURS[state]}]{state}{held}[/]",
            "" if one.retry_after is None or one.forced else f"{one.retry_after:.1f} s",
            str(one.failures),
            str(one.calls),
            str(one.waiting),
            levels,
        )
    output.out.print(table)
