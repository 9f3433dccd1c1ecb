"""Run one audit from outside: spawn the root, show how it goes, write the report."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from examples.audit import plan
from examples.audit.execution import executions
from examples.audit.page import Report
from examples.audit.progress import display, snapshot
from examples.audit.report import report_paths, shown, source_title, write_reports
from examples.audit.results import AuditResult
from examples.audit.summary import AuditSummary, summarise
from orchestrator import (
    AgentCancelled,
    AgentFailed,
    Handle,
    Orchestrator,
    OrchestratorError,
    ResultPending,
    Settings,
)

#: Shortest time between two looks at the tree, in seconds.
LOOK_EVERY = 0.25
#: Seconds without any change after which the audit is given up. A file takes seconds, and the
#: work of a worker that died goes on within half a minute.
STALLED_AFTER = 120.0
#: Looking may take at most this share of the time: a large tree is looked at less often.
LOOK_SHARE = 0.1


class NothingToAudit(ValueError):
    """The source is not a folder with Python files in it."""


def run_audit(
    orchestrator: Orchestrator, source: Path, out: Path, console: Console | None
) -> AuditSummary:
    """Audit the code below the folder `source` and write the reports into the folder `out`.

    Runs in a session of its own. `console` shows the progress and the summary; None is silent.
    Raises `NothingToAudit` before anything is spawned. When it is interrupted, the whole tree
    is cancelled before the interruption goes on.
    """
    source = source.resolve()
    expected = _expected(source)
    title = source_title(source)
    session = f"audit-{uuid.uuid4().hex[:8]}"
    handle = orchestrator.spawn("audit.codebase", {"source": str(source)}, session=session)
    try:
        result, error = _follow(orchestrator, handle, expected, title, console)
    except BaseException:
        with suppress(OrchestratorError):  # What interrupts us is worth more than this.
            handle.cancel()
        raise
    tree = executions(orchestrator.tree(handle.id), orchestrator.events)
    summary = summarise(session, handle.id, result, tree, report_paths(out), error)
    slots = Settings.load().limits.session_concurrency
    write_reports(Report(title, summary, result, tree, datetime.now(UTC), slots), out)
    if console is not None:
        print_summary(summary, title, console)
    return summary


def _expected(source: Path) -> dict[str, int]:
    """Instances by folder, or `NothingToAudit`."""
    if not source.is_dir():
        raise NothingToAudit(f"{source} is not a folder. Name one that holds Python files.")
    expected = plan.expected(source)
    if not expected:
        raise NothingToAudit(f"There is no Python file below {source}.")
    return expected


def _follow(
    orchestrator: Orchestrator,
    handle: Handle,
    expected: dict[str, int],
    title: str,
    console: Console | None,
) -> tuple[AuditResult | None, str | None]:
    """Show the progress until the root ends; its result, or why there is none."""
    watch = Watch()
    with display(console, title) as screen:
        while not watch.stalled:
            try:
                result: AuditResult = handle.result(timeout=watch.patience)
                return result, None
            except ResultPending:
                started = watch.elapsed
                now = snapshot(orchestrator.tree(handle.id), expected, started)
                screen.show(now)
                watch.note(now.sentence(), watch.elapsed - started)
            except (AgentFailed, AgentCancelled) as error:
                return None, str(error)
    handle.cancel()
    return None, f"nothing happened for {STALLED_AFTER:g} s: `orchestrator doctor` may know why"


class Watch:
    """How often to look, and whether anything still happens."""

    def __init__(self) -> None:
        self._begun = time.perf_counter()
        self._seen = ""
        self._changed = 0.0
        #: Seconds until the next look.
        self.patience = LOOK_EVERY

    @property
    def elapsed(self) -> float:
        """Seconds since the audit was spawned."""
        return time.perf_counter() - self._begun

    @property
    def stalled(self) -> bool:
        """Whether nothing has changed for too long."""
        return self.elapsed - self._changed > STALLED_AFTER

    def note(self, seen: str, took: float) -> None:
        """Remember what was seen, and that looking took so many seconds."""
        if seen != self._seen:
            self._seen, self._changed = seen, self.elapsed
        self.patience = max(LOOK_EVERY, took / LOOK_SHARE)


def print_summary(summary: AuditSummary, title: str, console: Console) -> None:
    """Print the numbers of an audit and where its report lies."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in _lines(summary):
        grid.add_row(name, Text(value))
    colour = "green" if summary.ok else "red"
    head = Text(f"Audit of {title}: " + ("complete" if summary.ok else "NOT COMPLETE"), "bold")
    console.print(Panel(grid, title=head, border_style=colour, expand=False, padding=(1, 2)))


def _lines(summary: AuditSummary) -> Iterator[tuple[str, str]]:
    states = ", ".join(f"{count:,} {state}" for state, count in summary.by_state.items())
    found = ", ".join(f"{count:,} {name}" for name, count in summary.findings.items())
    for problem in summary.problems:
        yield "problem", problem
    yield "instances", f"{summary.instances:,} ({states})"
    yield "source", f"{summary.files:,} files, {summary.lines:,} lines"
    yield "findings", f"{found} ({summary.dropped:,} dropped by the reviewers)"
    yield "spawn call", shown(summary.spawn_ms, 1, "ms")
    yield "queue wait", shown(summary.queue_wait_s, 1, "s") + ", for a slot"
    yield "run of a leaf", shown(summary.run_s, 1000, "ms")
    yield "throughput", f"{summary.throughput:.1f} instances/s over {summary.wall_s:.1f} s"
    yield "most at once", f"{summary.most_at_once}"
    yield "report", f"{summary.html}\n{summary.markdown}"
