"""The command, run in this process: quick, and nothing that it raises can hide."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
import structlog

import workers
from orchestrator.cli import main
from orchestrator.devstack import EmbeddedServers
from tests.store.databases import database, empty, url_of


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    #: standard error, with what the logging of a bare process would put there
    err: str


Command = Callable[..., Ran]


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> Command:
    """`command("spawn", "add")`. Whatever it raises but its exit is the test's failure."""
    _let_go_of_streams(monkeypatch)
    # A worker would never end, and then end this process.
    monkeypatch.setattr(workers, "main", NoWorker(), raising=False)

    def run(*arguments: str) -> Ran:
        monkeypatch.setattr(sys, "argv", ["orchestrator", *arguments])
        monkeypatch.setattr(sys, "path", [*sys.path])  # it adds the working folder
        capsys.readouterr()
        caplog.clear()
        try:
            main()
            code = 0
        except SystemExit as exit_:
            code = exit_.code if isinstance(exit_.code, int) else int(bool(exit_.code))
        captured = capsys.readouterr()
        logged = [
            record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING
        ]
        return Ran(code, captured.out, captured.err + "\n".join(logged))

    return run


class NoWorker:
    """Stands for `workers.main`: nothing here may get as far as that."""

    def __getattr__(self, name: str) -> object:
        raise AssertionError(f"a worker was about to {name}")


def _let_go_of_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loggers must not keep the standard error of one test for the next."""
    configure = structlog.configure

    def without_cache(**options: Any) -> None:
        configure(**options | {"cache_logger_on_first_use": False})

    monkeypatch.setattr(structlog, "configure", without_cache)


@pytest.fixture(autouse=True)
def unconfigured() -> Iterator[None]:
    """Logging as a new process has it."""
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="module")
def shared(run_servers: EmbeddedServers) -> Iterator[psycopg.Connection]:
    """A migrated database that the tests of one file share."""
    with (
        database(run_servers, "template_ours") as url,
        psycopg.connect(url, autocommit=True) as connection,
    ):
        yield connection


@pytest.fixture
def database_url(shared: psycopg.Connection) -> str:
    """The same database, without any rows."""
    empty(shared)
    return url_of(shared)
