"""erase and keys: payloads that nobody can read any more, and the keys that make it so."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from orchestrator import bootstrap
from orchestrator.cli import output
from orchestrator.config.settings import Settings
from orchestrator.domain.errors import ConfigurationError
from orchestrator.engine.erase import erase as erase_payloads

AsJSON = Annotated[bool, typer.Option("--json", help="Print JSON.")]
#: Seconds that one statement may take: a tenant may be large.
PATIENCE = 3_600.0


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    app.command()(erase)
    app.command("rekey")(rekey)


def erase(
    tenant: Annotated[str | None, typer.Option(help="All sessions of this tenant.")] = None,
    session: Annotated[str | None, typer.Option(help="This session.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJSON = False,
) -> None:
    """Make the payloads of a session or a tenant unreadable for good; the audit trail stays."""
    what = f"session {session}" if session is not None else f"tenant {tenant}"
    deps = bootstrap.build(Settings.load().model_copy(update={"statement_timeout": PATIENCE}))
    try:
        if not yes and not as_json:
            typer.confirm(f"Erase all payloads of {what}? Nothing brings them back", abort=True)
        done = erase_payloads(deps, tenant, session, output.user())
    finally:
        bootstrap.close(deps)
    if as_json:
        output.as_json(asdict(done))
        return
    counts = ", ".join(f"{number} {name}" for name, number in done.rows.items())
    output.line(f"{what} is erased: {counts}")


def rekey(as_json: AsJSON = False) -> None:
    """Wrap all keys of tenants by the newest key of the settings."""
    deps = bootstrap.build(Settings.load())
    try:
        vault = deps.store.database.vault
        if vault is None:
            raise ConfigurationError(
                "Payloads are not encrypted here: set ORCHESTRATOR_ENCRYPTION_KEY."
            )
        number = vault.rotate()
    finally:
        bootstrap.close(deps)
    output.as_json({"rewrapped": number}) if as_json else output.line(f"{number} keys rewrapped")
