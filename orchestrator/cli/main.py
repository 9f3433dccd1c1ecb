"""The `orchestrator` command."""

from __future__ import annotations

import sys

import click
import typer

from orchestrator.cli import agents, doctor, output, processes
from orchestrator.domain.errors import (
    OrchestratorError,
    SpawnRefused,
    Unavailable,
)

app = typer.Typer(
    name="orchestrator",
    help="Run trees of AI agents: spawn, limit, wait, recover.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
processes.add_to(app)
agents.add_to(app)
doctor.add_to(app)

#: What the command exits with; also in docs/reference/cli.md.
FAILED, USAGE, REFUSED, UNAVAILABLE, INTERRUPTED = 1, 2, 3, 4, 130


def main() -> None:
    """Run the command line; errors of ours are one line, never a traceback."""
    try:
        code = app(standalone_mode=False)
    except OrchestratorError as error:
        output.error(error, as_json="--json" in sys.argv)
        code = _exit_code(error)
    except click.exceptions.Abort:
        code = INTERRUPTED
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has seen enough.
        sys.stderr.close()
        code = 0
    sys.exit(code if isinstance(code, int) else 0)


def _exit_code(error: OrchestratorError) -> int:
    if isinstance(error, SpawnRefused):
        return REFUSED
    return UNAVAILABLE if isinstance(error, Unavailable) else FAILED
