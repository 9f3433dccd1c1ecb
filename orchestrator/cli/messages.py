"""send, signal, broadcast, messages."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from orchestrator.cli import output
from orchestrator.client.orchestrator import Orchestrator
from orchestrator.domain.errors import InvalidRequest
from orchestrator.domain.message import Delivery, Sent

AsJSON = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Id = Annotated[str, typer.Argument(metavar="ID", help="The id of an instance.")]
Body = Annotated[str, typer.Argument(help="What to say, as JSON.")]
Key = Annotated[
    str | None, typer.Option(help="A repeated one with it, to the same, is the same message.")
]
#: Of what a table shows of a body.
MOST_SHOWN = 60


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    app.command()(send)
    app.command()(signal)
    app.command()(broadcast)
    app.command()(messages)


def send(instance_id: Id, body: Body, idempotency_key: Key = None, as_json: AsJSON = False) -> None:
    """Send a message to an instance."""
    with Orchestrator.from_settings() as orchestrator:
        sent = orchestrator.send(instance_id, parse(body), idempotency_key=idempotency_key)
    _tell(sent, as_json)


def signal(
    instance_id: Id,
    name: Annotated[str, typer.Argument(help="The name of the signal.")],
    value: Annotated[str, typer.Argument(help="Its value, as JSON.")] = "null",
    idempotency_key: Key = None,
    as_json: AsJSON = False,
) -> None:
    """Give an instance the signal that it waits for, or will."""
    with Orchestrator.from_settings() as orchestrator:
        sent = orchestrator.signal(instance_id, name, parse(value), idempotency_key=idempotency_key)
    _tell(sent, as_json)


def broadcast(
    session_or_id: Annotated[str, typer.Argument(help="A session, or the id of an instance.")],
    body: Body,
    tenant: Annotated[str, typer.Option(help="Whose session it is.")] = "default",
    idempotency_key: Key = None,
    as_json: AsJSON = False,
) -> None:
    """Send a message to all in a session, or to an instance and all below it."""
    with Orchestrator.from_settings() as orchestrator:
        sent = orchestrator.broadcast(
            session_or_id, parse(body), tenant=tenant, idempotency_key=idempotency_key
        )
    _tell(sent, as_json)


def messages(
    session_or_id: Annotated[str, typer.Argument(help="A session, or the id of an instance.")],
    limit: Annotated[int, typer.Option(help="At most so many.", min=1, max=10_000)] = 50,
    as_json: AsJSON = False,
) -> None:
    """Show the newest messages of an instance or a session, and what became of them."""
    with Orchestrator.from_settings() as orchestrator:
        found = orchestrator.messages(session_or_id, limit=limit)
    output.as_json([one.to_dict() for one in found]) if as_json else _print(found)


def parse(text: str) -> Any:
    """A value that was given as JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(
            "NOT_JSON",
            f"{text[:100]!r} is not JSON: {error}. Text is written in quotes, as in '\"yes\"'.",
        ) from None


def _tell(sent: Sent, as_json: bool) -> None:
    if as_json:
        output.as_json(sent.to_dict())
    else:
        left_out = f" ({sent.skipped} had ended)" if sent.skipped else ""
        output.line(f"{sent.id} sent to {sent.recipients}{left_out}")


def _print(found: Sequence[Delivery]) -> None:
    table = Table(box=None, pad_edge=False)
    for title in ("at", "kind", "name", "from", "to", "state", "body"):
        table.add_column(title, no_wrap=title in ("from", "to"), overflow="ellipsis")
    for one in found:
        said = one.message
        text = json.dumps(output.shown(said.body, "body"), ensure_ascii=False)
        table.add_row(
            f"{said.sent_at:%Y-%m-%d %H:%M:%S.%f}"[:-3],
            said.kind,
            escape(said.topic or ""),
            said.sender or "a service",
            one.recipient,
            one.state,
            escape(text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}..."),
        )
    output.out.print(table)
