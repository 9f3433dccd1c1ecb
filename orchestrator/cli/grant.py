"""grant: a role for services, workers and beats that cannot change the audit trail."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.cli import output
from orchestrator.config.settings import Settings
from orchestrator.store import roles

AsJSON = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def add_to(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(grant)


def grant(
    role: Annotated[str, typer.Argument(help="An existing role of PostgreSQL.")],
    as_json: AsJSON = False,
) -> None:
    """Let a role do what services, workers and beats need; run it as the owner of the tables."""
    url = Settings.load().located().database_url
    assert url is not None
    roles.grant(url, role)
    output.as_json({"role": role}) if as_json else output.line(
        f"{role} may do what services, workers and beats need, and not change the audit trail."
    )
