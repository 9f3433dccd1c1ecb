"""session: what its agents share, and all versions of it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from orchestrator.cli import output
from orchestrator.cli.messages import parse
from orchestrator.client.orchestrator import Orchestrator
from orchestrator.domain.shared import SharedValue

AsJSON = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="The session.")]
Key = Annotated[str, typer.Argument(help="The key.")]
Tenant = Annotated[str, typer.Option(help="Whose session it is.")]

app = typer.Typer(help="Show sessions, and what their agents share.")
#: How many of the newest instances are looked at for their sessions.
NEWEST = 1_000


def add_to(top: typer.Typer) -> None:
    """Add this command."""
    top.add_typer(app, name="session")


@app.callback(invoke_without_command=True)
def newest(context: typer.Context, as_json: AsJSON = False) -> None:
    """Show the sessions of the newest instances, and what their agents share."""
    if context.invoked_subcommand is not None:
        return
    with Orchestrator.from_settings() as orchestrator:
        found = orchestrator.list(limit=NEWEST)
    counted = Counter((one.session, one.tenant) for one in found)
    if as_json:
        output.as_json(
            [
                {"session": session, "tenant": tenant, "instances": number}
                for (session, tenant), number in counted.items()
            ]
        )
        return
    table = Table(box=None, pad_edge=False)
    for title in ("session", "tenant", "newest instances"):
        table.add_column(title)
    for (session, tenant), number in counted.items():
        table.add_row(escape(session), escape(tenant), str(number))
    output.out.print(table)


@app.command()
def show(
    name: Name,
    tenant: Tenant = "default",
    version: Annotated[int | None, typer.Option(help="As it was at this version.")] = None,
    as_json: AsJSON = False,
) -> None:
    """Show how many instances are in which state, and the values that are shared."""
    with Orchestrator.from_settings() as orchestrator:
        session = orchestrator.session(name, tenant=tenant)
        newest = session.shared.version()
        shared = session.shared.all() if version is None else session.shared.at(version)
        states = Counter(str(one.state) for one in session.instances(10_000))
    if as_json:
        output.as_json(
            {
                "session": name,
                "tenant": tenant,
                "version": newest,
                "instances": states,
                "shared": shared,
            }
        )
        return
    counted = ", ".join(f"{number} {state}" for state, number in sorted(states.items()))
    output.line(f"{name}: {counted or 'no instances'}; version {newest}")
    for key, value in output.shown(shared).items():
        output.line(f"{key} = {json.dumps(value, ensure_ascii=False)}")


@app.command("set")
def set_(
    name: Name,
    key: Key,
    value: Annotated[str, typer.Argument(help="The value, as JSON.")],
    tenant: Tenant = "default",
    expected_version: Annotated[
        int | None, typer.Option(help="Only if the key was set last in this version.")
    ] = None,
    as_json: AsJSON = False,
) -> None:
    """Give a key a value."""
    with Orchestrator.from_settings() as orchestrator:
        shared = orchestrator.session(name, tenant=tenant).shared
        made = shared.set(key, parse(value), expected_version)
    output.as_json({"version": made}) if as_json else output.line(f"version {made}")


@app.command()
def history(name: Name, key: Key, tenant: Tenant = "default", as_json: AsJSON = False) -> None:
    """Show every version of a key, oldest first."""
    with Orchestrator.from_settings() as orchestrator:
        found = orchestrator.session(name, tenant=tenant).shared.history(key)
    output.as_json([one.to_dict() for one in found]) if as_json else _print(found)


@app.command()
def rollback(
    name: Name,
    version: Annotated[int, typer.Argument(help="The version to go back to.")],
    tenant: Tenant = "default",
    as_json: AsJSON = False,
) -> None:
    """Make all values again what they were at a version; the history stays."""
    with Orchestrator.from_settings() as orchestrator:
        made = orchestrator.session(name, tenant=tenant).shared.rollback(version)
    output.as_json({"version": made}) if as_json else output.line(f"version {made}")


def _print(found: Sequence[SharedValue]) -> None:
    table = Table(box=None, pad_edge=False)
    for title in ("version", "at", "by", "value"):
        table.add_column(title)
    for one in found:
        value = "[dim]taken away[/]"
        if not one.is_deleted:
            value = escape(
                json.dumps(output.shown({one.key: one.value})[one.key], ensure_ascii=False)
            )
        at = f"{one.set_at:%Y-%m-%d %H:%M:%S.%f}"[:-3]
        table.add_row(str(one.version), at, one.set_by or "a service", value)
    output.out.print(table)
