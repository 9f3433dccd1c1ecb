"""What commands print: tables and trees for people, JSON for programs."""

from __future__ import annotations

import getpass
import json
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.tree import Tree

from orchestrator.config.settings import Settings
from orchestrator.domain.errors import ConfigurationError, OrchestratorError
from orchestrator.domain.instance import Event, Instance, TreeNode
from orchestrator.domain.lifecycle import State
from orchestrator.domain.progress import Progress
from orchestrator.domain.redact import redact

# What goes into a file or a pipe is not folded to the width of a terminal.
_WIDE = None if sys.stdout.isatty() else 240

out = Console(width=_WIDE)
err = Console(stderr=True, soft_wrap=True)

COLOURS = {
    State.QUEUED: "yellow",
    State.DISPATCHED: "cyan",
    State.RUNNING: "blue",
    State.WAITING: "magenta",
    State.COMPLETED: "green",
    State.FAILED: "red",
    State.CANCELLED: "bright_black",
}


def as_json(value: Any) -> None:
    """Print one JSON value."""
    line(json.dumps(shown(value), indent=2, ensure_ascii=not _speaks_unicode()))


def shown(value: Any, path: str = "") -> Any:
    """A value as it may be shown: without the fields that rules hide."""
    try:
        rules = Settings.load().redact
    except ConfigurationError:
        rules = ()  # what is wrong with the settings is said elsewhere
    return redact(value, rules, path)


def _speaks_unicode() -> bool:
    return (sys.stdout.encoding or "").lower().startswith("utf")


def line(text: str) -> None:
    """Print text as it is."""
    out.print(text, markup=False, highlight=False, soft_wrap=True)


def error(problem: OrchestratorError, *, as_json: bool) -> None:
    """Print an error, on standard error; with `--json` as `{"error": {...}}`."""
    if as_json:
        err.print(
            json.dumps({"error": problem.to_dict()}, ensure_ascii=False),
            markup=False,
            highlight=False,
        )
    else:
        err.print(f"[bold red]{problem.code}[/] {escape(str(problem))}", highlight=False)


def user() -> str:
    """Who gives this command, for what is recorded with it."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""  # a user without a name, as in a container


def instances(found: Sequence[Instance]) -> None:
    """Print instances as a table."""
    table = Table(box=None, pad_edge=False)
    for title in ("id", "agent", "state", "reason", "progress", "session", "attempt", "created"):
        table.add_column(title, no_wrap=title == "id", overflow="ellipsis")
    for one in found:
        table.add_row(
            one.id,
            one.agent,
            state(one.state),
            _why(one),
            escape(_progress(one)),
            escape(one.session),
            str(one.attempt),
            f"{one.created_at:%Y-%m-%d %H:%M:%S}",
        )
    out.print(table)


def instance(one: Instance) -> None:
    """Print all fields of one instance."""
    table = Table(box=None, pad_edge=False, show_header=False)
    for name, value in shown(one.to_dict()).items():
        text = state(one.state) if name == "state" else _text(value)
        table.add_row(f"[dim]{name}[/]", text)
    out.print(table)


def events(found: Sequence[Event]) -> None:
    """Print an audit trail as a table."""
    table = Table(box=None, pad_edge=False)
    for title in ("at", "from", "to", "reason", "attempt", "worker"):
        table.add_column(title)
    for one in found:
        table.add_row(
            f"{one.at:%Y-%m-%d %H:%M:%S.%f}"[:-3],
            one.from_state or "",
            state(one.to_state),
            one.reason or "",
            str(one.attempt),
            escape(one.worker or ""),
        )
    out.print(table)


def trees(roots: Sequence[TreeNode]) -> None:
    """Print execution trees."""
    for root in roots:
        out.print(_grow(root, Tree(_label(root.instance))))


def state(value: State) -> str:
    """A state in its colour, as markup."""
    return f"[{COLOURS[value]}]{value}[/]"


def _grow(node: TreeNode, tree: Tree) -> Tree:
    for child in node.children:
        _grow(child, tree.add(_label(child.instance)))
    return tree


def _label(one: Instance) -> str:
    took = ""
    if one.started_at and one.ended_at:
        took = f" {(one.ended_at - one.started_at).total_seconds():.2f} s"
    why = _why(one)
    reason = f" ({why})" if why else ""
    told = f" {escape(_progress(one))}" if _progress(one) else ""
    return f"[bold]{escape(one.agent)}[/] {state(one.state)}{reason}{told}{took} [dim]{one.id}[/]"


def _why(one: Instance) -> str:
    """Its reason; of a live one, first of all that it is paused."""
    return "PAUSED" if one.paused_at and not one.state.is_terminal else one.reason or ""


def _progress(one: Instance) -> str:
    """How far one that has not ended says it is."""
    if one.progress is None or one.state.is_terminal:
        return ""
    return str(Progress.from_dict(one.progress))


def _text(value: Any) -> str:
    if value is None:
        return "[dim]-[/]"
    return escape(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
