"""audit: is the trail what was sealed, and a copy of it that anybody can verify."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from orchestrator import bootstrap
from orchestrator.cli import output
from orchestrator.config.settings import Settings
from orchestrator.domain.audit_check import Verification
from orchestrator.domain.errors import InvalidRequest
from orchestrator.engine import audit
from orchestrator.engine.deps import Deps
from orchestrator.store.audit import Filter

AsJSON = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Time = Annotated[datetime | None, typer.Option(help="A time, in UTC unless it says otherwise.")]

app = typer.Typer(help="Show, verify and export the audit trail.")

NOTHING = "nothing is sealed yet"


def add_to(top: typer.Typer) -> None:
    """Add this command."""
    top.add_typer(app, name="audit")


@app.callback(invoke_without_command=True)
def newest(context: typer.Context, as_json: AsJSON = False) -> None:
    """Show the newest seal of the audit trail."""
    if context.invoked_subcommand is not None:
        return
    with _deps() as deps:
        seal = audit.head(deps)
    if as_json:
        output.as_json(None if seal is None else seal.to_dict())
    elif seal is None:
        output.line(NOTHING)
    else:
        output.line(f"seal {seal.number} at {seal.sealed_at:%Y-%m-%d %H:%M:%S}, head {seal.hash}")


@app.command()
def verify(
    session: Annotated[str | None, typer.Option(help="Only what concerns this session.")] = None,
    anchor: Annotated[
        str | None, typer.Option(help="A head noted earlier, which must be in the chain.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option(help="An exported trail, instead of the database.")
    ] = None,
    as_json: AsJSON = False,
) -> None:
    """Recompute every hash of the audit trail; exit code 1 if anything is not as it was sealed."""
    if file is None:
        with _deps() as deps:
            found = audit.verify(deps, session, anchor)
    else:
        found = _of_file(file, anchor)
    output.as_json(found.to_dict()) if as_json else _print(found)
    if not found.is_intact:
        raise typer.Exit(1)


@app.command()
def head(as_json: AsJSON = False) -> None:
    """Print the hash of the newest seal, to be noted elsewhere."""
    with _deps() as deps:
        newest = audit.head(deps)
    if as_json:
        output.as_json(None if newest is None else newest.to_dict())
    else:
        output.line(NOTHING if newest is None else newest.hash)


@app.command()
def export(
    session: Annotated[str | None, typer.Option(help="Of this session.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Of this tenant.")] = None,
    since: Time = None,
    until: Time = None,
    as_json: Annotated[bool, typer.Option("--json", help="It is JSON lines anyhow.")] = True,
) -> None:
    """Print the audit trail as JSON lines, oldest first, with the seals that prove it."""
    with _deps() as deps:
        for text in audit.export(deps, Filter(session, tenant, _utc(since), _utc(until))):
            # Past the console: a line a value, however many.
            typer.echo(text)


@contextmanager
def _deps() -> Iterator[Deps]:
    deps = bootstrap.build(Settings.load())
    try:
        yield deps
    finally:
        bootstrap.close(deps)


def _of_file(file: Path, anchor: str | None) -> Verification:
    try:
        with file.open(encoding="utf-8") as lines:
            return audit.verify_lines(lines, anchor)
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest("UNREADABLE_EXPORT", f"{file} cannot be read: {error}.") from None


def _utc(time: datetime | None) -> datetime | None:
    return time.replace(tzinfo=UTC) if time is not None and time.tzinfo is None else time


def _print(found: Verification) -> None:
    for one in found.findings:
        where = "" if one.seal is None else f" at seal {one.seal}"
        of = "" if one.session is None else f", session {one.session}"
        output.line(f"BROKEN{where}{of}: {one.what}")
    output.line(
        f"{found.seals} seals of {found.sessions} sessions, {found.events} events; "
        f"{found.unsealed} not sealed yet"
    )
    output.line(f"head {found.head}")
