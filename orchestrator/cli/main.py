"""The `orchestrator` command."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import typer

from orchestrator.cli import (
    agents,
    audit,
    breakers,
    budget,
    callbacks,
    control,
    deadlocks,
    doctor,
    erase,
    explain,
    grant,
    housekeeping,
    limits,
    messages,
    metrics,
    output,
    processes,
    session,
)
from orchestrator.domain.errors import (
    OrchestratorError,
    SpawnRefused,
    Unavailable,
)
from orchestrator.telemetry import logging

app = typer.Typer(
    name="orchestrator",
    help="Run trees of AI agents: spawn, limit, wait, recover.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
processes.add_to(app)
callbacks.add_to(app)
metrics.add_to(app)
agents.add_to(app)
messages.add_to(app)
session.add_to(app)
limits.add_to(app)
budget.add_to(app)
breakers.add_to(app)
deadlocks.add_to(app)
explain.add_to(app)
control.add_to(app)
audit.add_to(app)
grant.add_to(app)
erase.add_to(app)
housekeeping.add_to(app)
doctor.add_to(app)

#: What the command exits with when it is not 0; also in docs/reference/cli.md. Usage errors
#: (2) and Ctrl-C (130) are typer's.
FAILED, REFUSED, UNAVAILABLE = 1, 3, 4


def main() -> None:
    """Run the command line; errors of ours are one line, never a traceback."""
    # Agents are imported from the folder one is in, as with `python -m` and Celery's own commands.
    sys.path.insert(0, str(Path.cwd()))
    if isinstance(sys.stdout, io.TextIOWrapper):
        # What a terminal cannot show is spelled out; it is no reason to fail.
        sys.stdout.reconfigure(errors="backslashreplace")
    # Standard output is for results; commands that run things set this anew.
    logging.configure("WARNING")
    try:
        app()
    except OrchestratorError as error:
        output.error(error, as_json="--json" in sys.argv)
        sys.exit(_exit_code(error))


def _exit_code(error: OrchestratorError) -> int:
    if isinstance(error, SpawnRefused):
        return REFUSED
    return UNAVAILABLE if isinstance(error, Unavailable) else FAILED
