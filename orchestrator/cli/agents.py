"""spawn, show, list, tree, events."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from orchestrator.cli import output
from orchestrator.client.orchestrator import Orchestrator
from orchestrator.domain.errors import InvalidSpawn

AsJSON = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Id = Annotated[str, typer.Argument(metavar="ID", help="The id of an instance.")]


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    app.command()(spawn)
    app.command()(show)
    app.command("list")(list_)
    app.command()(tree)
    app.command()(events)


def spawn(
    agent: Annotated[str, typer.Argument(help="The name of the agent.")],
    args: Annotated[str, typer.Argument(help="Its arguments, as a JSON object.")] = "{}",
    session: Annotated[str | None, typer.Option(help="The session it belongs to.")] = None,
    tenant: Annotated[str, typer.Option(help="Who pays.")] = "default",
    priority: Annotated[str, typer.Option(help="critical, high, normal, low or background.")] = (
        "normal"
    ),
    timeout: Annotated[float | None, typer.Option(help="Seconds an attempt may take.")] = None,
    on_limit: Annotated[str, typer.Option(help="At a limit: queue or refuse.")] = "queue",
    idempotency_key: Annotated[
        str | None, typer.Option(help="A repeated spawn with it returns the first instance.")
    ] = None,
    pool: Annotated[str | None, typer.Option(help="Another pool than the agent's own.")] = None,
    wait: Annotated[
        float | None, typer.Option(help="Wait so many seconds for the result and print it.")
    ] = None,
    as_json: AsJSON = False,
) -> None:
    """Spawn an agent and print the id of the instance."""
    with Orchestrator.from_settings() as orchestrator:
        handle = orchestrator.spawn(
            agent,
            _parse(args),
            session=session,
            tenant=tenant,
            priority=priority,
            timeout=timeout,
            on_limit=on_limit,
            idempotency_key=idempotency_key,
            pool=pool,
        )
        if wait is not None:
            result = handle.result(timeout=wait)
            output.as_json({"id": handle.id, "result": result} if as_json else result)
        elif as_json:
            output.as_json({"id": handle.id})
        else:
            output.line(handle.id)


def show(instance_id: Id, as_json: AsJSON = False) -> None:
    """Show everything recorded of one instance."""
    with Orchestrator.from_settings() as orchestrator:
        found = orchestrator.get(instance_id)
    output.as_json(found.to_dict()) if as_json else output.instance(found)


def list_(
    session: Annotated[str | None, typer.Option(help="Of this session.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Of this tenant.")] = None,
    state: Annotated[str | None, typer.Option(help="In this state.")] = None,
    agent: Annotated[str | None, typer.Option(help="Of this agent.")] = None,
    limit: Annotated[int, typer.Option(help="At most so many.", min=1, max=10_000)] = 50,
    as_json: AsJSON = False,
) -> None:
    """List the newest instances, newest first."""
    with Orchestrator.from_settings() as orchestrator:
        found = orchestrator.list(
            session=session, tenant=tenant, state=state, agent=agent, limit=limit
        )
    if as_json:
        output.as_json([one.to_dict() for one in found])
    else:
        output.instances(found)


def tree(
    session_or_id: Annotated[str, typer.Argument(help="A session, or the id of an instance.")],
    as_json: AsJSON = False,
) -> None:
    """Print the execution tree of a session, or below an instance."""
    with Orchestrator.from_settings() as orchestrator:
        roots = orchestrator.tree(session_or_id)
    output.as_json([root.to_dict() for root in roots]) if as_json else output.trees(roots)


def events(instance_id: Id, as_json: AsJSON = False) -> None:
    """Print the audit trail of one instance."""
    with Orchestrator.from_settings() as orchestrator:
        found = orchestrator.events(instance_id)
    output.as_json([one.to_dict() for one in found]) if as_json else output.events(found)


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidSpawn(
            "INVALID_ARGUMENTS",
            f'The arguments are not JSON: {error}. Write an object, as in \'{{"url": "..."}}\'.',
        ) from None
