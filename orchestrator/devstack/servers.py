"""Both embedded servers on one folder."""

from __future__ import annotations

import contextlib
from pathlib import Path
from types import TracebackType
from typing import Self

from orchestrator.devstack.files import exclusive, password
from orchestrator.devstack.postgres import PostgresServer
from orchestrator.devstack.server import Server
from orchestrator.devstack.valkey import ValkeyServer


class EmbeddedServers:
    """PostgreSQL and a Redis-protocol server, loopback only, with passwords, on one folder.

        with EmbeddedServers(Path(".orchestrator"), durable=True) as servers:
            print(servers.redis_url, servers.database_url)

    The folder is created when missing and keeps data, passwords and ports between runs.
    `durable` servers survive a power cut (PostgreSQL: every commit; Redis: all but the last
    second). The others are for tests: fast, and Redis starts empty.
    `redis` and `database` say which of the two to start. Ports are chosen when not given.
    `redis_program` runs another Redis-protocol server.

    For faults, each server can be stopped and started by itself: `servers.redis.kill()`,
    `.start()`, `.restart(kill=True)`, `.pause()`, `.resume()`; the same on `servers.database`.
    Ports and URLs stay the same.

    Raises AlreadyRunning, EmbeddedUnavailable, DataFolderUnusable, ServiceFailed.
    """

    def __init__(
        self,
        folder: Path,
        *,
        durable: bool,
        redis: bool = True,
        database: bool = True,
        redis_port: int | None = None,
        database_port: int | None = None,
        redis_program: Path | None = None,
    ) -> None:
        self._folder = folder.resolve()
        self._durable = durable
        self._with_redis = redis
        self._with_database = database
        self._redis_port = redis_port
        self._database_port = database_port
        self._redis_program = redis_program
        self._open = contextlib.ExitStack()
        self._redis: ValkeyServer | None = None
        self._database: PostgresServer | None = None

    def start(self) -> None:
        """Start both and wait until both answer. When one fails, none is left running."""
        with contextlib.ExitStack() as opening:
            self._folder.mkdir(mode=0o711, parents=True, exist_ok=True)
            opening.enter_context(exclusive(self._folder, "servers"))
            self._redis = self._make_redis() if self._with_redis else None
            self._database = self._make_database() if self._with_database else None
            for server in self.running:
                opening.callback(server.stop)
                server.launch()
            for server in self.running:
                server.wait_ready()
            self._open = opening.pop_all()

    def _make_redis(self) -> ValkeyServer:
        return ValkeyServer(
            self._folder / "redis",
            password(self._folder, "redis"),
            self._folder / "logs" / "redis.log",
            durable=self._durable,
            port=self._redis_port,
            program=self._redis_program,
        )

    def _make_database(self) -> PostgresServer:
        return PostgresServer(
            self._folder / "postgres",
            password(self._folder, "postgres"),
            self._folder / "logs" / "postgres.log",
            durable=self._durable,
            port=self._database_port,
        )

    def stop(self) -> None:
        """Stop both in order. Their data stay."""
        self._open.close()

    @property
    def running(self) -> tuple[Server, ...]:
        """The servers that were started here, in the order of their start."""
        return tuple(one for one in (self._redis, self._database) if one)

    @property
    def redis(self) -> ValkeyServer:
        """The Redis-protocol server."""
        if self._redis is None:
            raise RuntimeError("this server was not started")
        return self._redis

    @property
    def database(self) -> PostgresServer:
        """The PostgreSQL server."""
        if self._database is None:
            raise RuntimeError("this server was not started")
        return self._database

    @property
    def redis_url(self) -> str:
        """`redis://:PASSWORD@127.0.0.1:PORT/0`."""
        return self.redis.url

    @property
    def database_url(self) -> str:
        """`postgresql://orchestrator:PASSWORD@127.0.0.1:PORT/orchestrator`."""
        return self.database.url

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
