"""Real worker and beat processes for the acceptance tests."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from orchestrator.config.settings import Settings
from tests.support.waiting import wait_until

AGENTS = "tests.support.agents"
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Program:
    """A child process that has said that it is ready."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.process.kill()
        self.process.wait(timeout=10)

    def stop(self, seconds: float = 20.0) -> int:
        """SIGTERM, and wait for the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=seconds)


class Programs:
    """Starts the commands of this project against the test's servers."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._settings = settings
        self._folder = folder
        self._started: list[Program] = []

    def worker(self, *options: str, agents: str = AGENTS, **env: str) -> Program:
        """`orchestrator worker`, consuming."""
        return self.start("worker", "--agents", agents, *options, **env)

    def mortal_worker(self) -> Program:
        """A worker that may have been killed by what it runs before this returns."""
        return self._start(("worker", "--agents", AGENTS), {})

    def beat(self, **env: str) -> Program:
        """`orchestrator beat`, consuming."""
        return self.start("beat", **env)

    def start(self, *command: str, **env: str) -> Program:
        """Any command that announces itself, once it has."""
        program = self._start(command, env)
        assert program.process.poll() is None, program.log.read_text()
        return program

    def serve(self, port: int, *command: str, **env: str) -> Program:
        """Any command that listens on a port, once it does."""

        def listens() -> bool:
            with socket.socket() as connection:
                return connection.connect_ex(("127.0.0.1", port)) == 0

        program = self._start(command, env, listens)
        assert program.process.poll() is None, program.log.read_text()
        return program

    def _start(
        self,
        command: Sequence[str],
        env: Mapping[str, str],
        is_ready: Callable[[], bool] | None = None,
    ) -> Program:
        number = len(self._started)
        ready = self._folder / f"ready-{number}"
        log = self._folder / f"{command[0]}-{number}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "orchestrator.cli", *command],
                env=self._environment() | {"ORCHESTRATOR_READY_FILE": str(ready)} | dict(env),
                cwd=self._folder,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        program = Program(process, log)
        self._started.append(program)
        wait_until(
            lambda: (is_ready or ready.exists)() or process.poll() is not None,
            f"{' '.join(command)} is ready",
            seconds=60.0,
        )
        return program

    def stop_all(self) -> None:
        """Stop what still runs; last started, first stopped."""
        for program in reversed(self._started):
            if program.process.poll() is None:
                program.process.kill()
                program.process.wait(timeout=10)

    def _environment(self) -> dict[str, str]:
        settings = self._settings
        assert settings.redis_url is not None
        assert settings.database_url is not None
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        return kept | {
            "PYTHONPATH": str(ROOT),
            "ORCHESTRATOR_REDIS_URL": settings.redis_url,
            "ORCHESTRATOR_DATABASE_URL": settings.database_url,
            # Short, so that a test of a death does not take long; the ratio is the default's.
            "ORCHESTRATOR_HEARTBEAT": "0.4",
            "ORCHESTRATOR_LEASE": "2",
            "ORCHESTRATOR_DISPATCH_TIMEOUT": "3",
            "ORCHESTRATOR_SWEEP_EVERY": "0.5",
            "ORCHESTRATOR_REAP_EVERY": "1",
            "ORCHESTRATOR_RECONCILE_EVERY": "1",
            "ORCHESTRATOR_SHUTDOWN_GRACE": "1",
        }


@contextmanager
def programs(settings: Settings, folder: Path) -> Iterator[Programs]:
    """Programs that are all stopped at the end."""
    running = Programs(settings, folder)
    try:
        yield running
    finally:
        running.stop_all()
