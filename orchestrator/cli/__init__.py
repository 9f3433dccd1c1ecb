"""Floor 5: the command line."""

from orchestrator.cli.main import main

__all__ = ["main"]
