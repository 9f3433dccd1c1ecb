"""cancel, pause, resume, dead, retry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table
from rich.tree import Tree

from orchestrator.cli import output
from orchestrator.cli.agents import AsJSON, Id
from orchestrator.client.orchestrator import Orchestrator
from orchestrator.domain.cancel import CancelledNode, CancelOutcome, CancelReport
from orchestrator.domain.instance import Instance
from orchestrator.domain.pause import PauseReport

Scope = Annotated[
    str,
    typer.Argument(
        metavar="SCOPE",
        help="instance:ID, session:S, agent:A, pool:P, tenant:T or global.",
    ),
]

COLOURS = {
    CancelOutcome.ENDED: "green",
    CancelOutcome.STOPPING: "yellow",
    CancelOutcome.STOPPED: "green",
    CancelOutcome.INTERRUPTED: "yellow",
    CancelOutcome.ABANDONED: "red",
    CancelOutcome.LOST: "red",
    CancelOutcome.HAD_ENDED: "bright_black",
    CancelOutcome.DETACHED: "cyan",
}


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    for command in (cancel, pause, resume, dead, retry):
        app.command()(command)


def cancel(
    instance_id: Id,
    wait: Annotated[
        float, typer.Option(help="Wait up to so many seconds until all code has stopped.", min=0)
    ] = 0.0,
    as_json: AsJSON = False,
) -> None:
    """Cancel an instance and everything below it, and tell what became of each."""
    with Orchestrator.from_settings() as orchestrator:
        report = orchestrator.cancel(instance_id, wait=wait)
    output.as_json(report.to_dict()) if as_json else _cancelled(report)


def pause(
    scope: Scope,
    now: Annotated[
        bool,
        typer.Option("--now", help="What runs goes back in line at its next call, too."),
    ] = False,
    as_json: AsJSON = False,
) -> None:
    """Let nothing new start in a scope, or keep one instance from running, until it is resumed."""
    with Orchestrator.from_settings() as orchestrator:
        report = orchestrator.pause(scope, now=now, set_by=output.user())
    output.as_json(report.to_dict()) if as_json else _paused(report)


def resume(scope: Scope, as_json: AsJSON = False) -> None:
    """Take a pause back."""
    with Orchestrator.from_settings() as orchestrator:
        report = orchestrator.resume(scope, set_by=output.user())
    output.as_json(report.to_dict()) if as_json else _paused(report)


def dead(
    session: Annotated[str | None, typer.Option(help="Of this session.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Of this tenant.")] = None,
    agent: Annotated[str | None, typer.Option(help="Of this agent.")] = None,
    limit: Annotated[int, typer.Option(help="At most so many.", min=1, max=10_000)] = 50,
    as_json: AsJSON = False,
) -> None:
    """List instances that failed for good, newest first, with their last error."""
    with Orchestrator.from_settings() as orchestrator:
        found = orchestrator.dead(session=session, tenant=tenant, agent=agent, limit=limit)
    if as_json:
        output.as_json([one.to_dict() for one in found])
    else:
        _dead(found)


def retry(instance_id: Id, as_json: AsJSON = False) -> None:
    """Run a failed or cancelled instance again from its last good step; prints the new id."""
    with Orchestrator.from_settings() as orchestrator:
        handle = orchestrator.retry(instance_id)
    output.as_json({"id": handle.id}) if as_json else output.line(handle.id)


def _cancelled(report: CancelReport) -> None:
    trees: dict[str, Tree] = {}
    for node in report.nodes:
        above = trees.get(node.parent_id or "")
        label = _label(node)
        trees[node.id] = Tree(label) if above is None else above.add(label)
    output.out.print(trees[report.nodes[0].id])
    count = len(report.cancelled)
    output.line(f"{count} cancelled" if count else "It had ended before.")


def _label(node: CancelledNode) -> str:
    return (
        f"[bold]{escape(node.agent)}[/] was {output.state(node.before)}: "
        f"[{COLOURS[node.outcome]}]{node.outcome}[/] [dim]{node.id}[/]"
    )


def _paused(report: PauseReport) -> None:
    if report.changed:
        output.line(f"{report.scope} is {'paused' if report.is_paused else 'resumed'}.")
    else:
        output.line(f"{report.scope} was {'paused before' if report.is_paused else 'not paused'}.")
    if report.yielding:
        output.line(f"{len(report.yielding)} running, to go back in line at the next call.")
    if not report.in_force:
        output.line("It is recorded. Redis does not answer now; it follows once it does.")


def _dead(found: Sequence[Instance]) -> None:
    table = Table(box=None, pad_edge=False)
    for title in ("id", "agent", "reason", "attempts", "ended", "error"):
        table.add_column(title, no_wrap=title == "id", overflow="ellipsis")
    for one in found:
        error = one.error or {}
        told = f"{error.get('type', '')}: {error.get('message', '')}" if error else ""
        table.add_row(
            one.id,
            escape(one.agent),
            one.reason or "",
            str(one.failures),
            f"{one.ended_at:%Y-%m-%d %H:%M:%S}" if one.ended_at else "",
            escape(told.partition("\n")[0][:200]),
        )
    output.out.print(table)
