"""The Python programs of the stack: migrations, workers, beat and Flower."""

from __future__ import annotations

import http.client
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestrator.devstack.ports import LOOPBACK, free_port
from orchestrator.devstack.process import Child, Command
from orchestrator.devstack.service import Service

_CLI = ("orchestrator.cli",)
_CELERY = ("celery", "-A", "workers.app")

#: Tasks that Flower remembers: it holds them in memory.
_FLOWER_MAX_TASKS = 10_000


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all programs of one stack share."""

    #: The state folder of the stack.
    state_dir: Path
    #: Their whole environment.
    env: Mapping[str, str]

    def command(self, name: str, module: tuple[str, ...], *arguments: str, **env: str) -> Command:
        """`python -m <module> <arguments>` under the name `name`."""
        return Command(
            name=name,
            argv=(sys.executable, "-m", *module, *arguments),
            log=self.state_dir / "logs" / f"{name}.log",
            folder=Path.cwd(),
            env={**self.env, **env},
            grace_s=15.0,
        )


def environment(
    state_dir: Path, redis_url: str, database_url: str, extra: Mapping[str, str]
) -> dict[str, str]:
    """Our environment, changed so that a child uses these servers."""
    env = dict(os.environ) | {
        "ORCHESTRATOR_STATE_DIR": str(state_dir),
        "ORCHESTRATOR_REDIS_URL": redis_url,
        "ORCHESTRATOR_DATABASE_URL": database_url,
        "PYTHONUNBUFFERED": "1",  # logs show a line when it happens
    }
    env.pop("PYTHONDONTWRITEBYTECODE", None)  # bytecode halves the time a start takes
    return env | dict(extra)


def migrate(surroundings: Surroundings) -> None:
    """Bring the database to the schema of this version. Raises ServiceFailed."""
    child = Child(surroundings.command("migrate", _CLI, "migrate"))
    if child.run() != 0:
        raise child.failed("did not succeed")


class Announced(Service):
    """A program that creates the file named in ORCHESTRATOR_READY_FILE when it is ready."""

    ready_s = 60.0

    def __init__(self, name: str, surroundings: Surroundings, *arguments: str) -> None:
        super().__init__(name)
        self._surroundings = surroundings
        self._arguments = arguments
        self._ready_file = surroundings.state_dir / "run" / f"{name}.ready"

    def _prepare(self) -> None:
        self._ready_file.parent.mkdir(exist_ok=True)
        self._ready_file.unlink(missing_ok=True)

    def _command(self) -> Command:
        return self._surroundings.command(
            self.name, _CLI, *self._arguments, ORCHESTRATOR_READY_FILE=str(self._ready_file)
        )

    def _answers(self) -> bool:
        return self._ready_file.exists()


class Flower(Service):
    """Flower on loopback, behind a password."""

    ready_s = 60.0

    def __init__(self, surroundings: Surroundings, password: str) -> None:
        super().__init__("flower")
        self._surroundings = surroundings
        self._login = f"orchestrator:{password}"
        self._port = free_port()

    @property
    def url(self) -> str:
        """`http://orchestrator:PASSWORD@127.0.0.1:PORT`."""
        return f"http://{self._login}@{LOOPBACK}:{self._port}"

    def _command(self) -> Command:
        return self._surroundings.command(
            self.name,
            _CELERY,
            "flower",
            f"--address={LOOPBACK}",
            f"--port={self._port}",
            f"--max-tasks={_FLOWER_MAX_TASKS}",
            FLOWER_BASIC_AUTH=self._login,  # as an argument, everybody could read it
        )

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection(LOOPBACK, self._port, timeout=1.0)
        try:
            connection.request("GET", "/healthcheck")
            return connection.getresponse().status == http.HTTPStatus.OK
        except OSError:
            return False
        finally:
            connection.close()
