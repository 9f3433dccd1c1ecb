"""The whole system on one machine: servers, migrations, workers, beat, Flower."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import NoReturn, Self

from orchestrator.config.stack_file import StackFile
from orchestrator.devstack import programs
from orchestrator.devstack.files import exclusive, password
from orchestrator.devstack.programs import Announced, Flower, Surroundings
from orchestrator.devstack.servers import EmbeddedServers
from orchestrator.devstack.service import Service
from orchestrator.devstack.supervisor import OnEvent, Supervisor


@dataclass(frozen=True, slots=True)
class StackOptions:
    """What a stack consists of."""

    #: Holds data, logs and passwords; created when missing.
    state_dir: Path
    #: How many worker processes.
    workers: int = 1
    #: Instances that one worker runs at once; None leaves it to the worker's settings.
    concurrency: int | None = None
    #: Modules with agents that the workers import.
    agents: tuple[str, ...] = ()
    beat: bool = True
    flower: bool = True
    #: Brings the database to the schema of this version first.
    migrate: bool = True
    #: Servers of yours; what is None is started here.
    redis_url: str | None = field(default=None, repr=False)
    database_url: str | None = field(default=None, repr=False)
    #: False is for tests: embedded servers that sync nothing to disk.
    durable: bool = True
    #: Environment of the programs, on top of ours.
    env: Mapping[str, str] = field(default_factory=dict)


def _silent(name: str, detail: str) -> None:
    """Nobody listens."""


class Stack:
    """A running stack.

        with Stack(StackOptions(state_dir=Path(".orchestrator")), on_event=print) as stack:
            print(stack.flower_url)
            stack.wait()                    # until Ctrl-C

    As a context manager it also turns SIGTERM and SIGHUP into KeyboardInterrupt, so that
    however it is ended, all is stopped in order: beat and Flower, the workers, the servers.
    Killed, it leaves no process behind; the next start works on what is in the folder.

    Raises AlreadyRunning, EmbeddedUnavailable, DataFolderUnusable, ServiceFailed.
    """

    def __init__(self, options: StackOptions, on_event: OnEvent = _silent) -> None:
        self._options = options
        self._state_dir = options.state_dir.resolve()
        self._tell = on_event
        self._supervisor = Supervisor(on_event)
        self._services: list[Service] = []
        self._open = contextlib.ExitStack()
        self._signals = contextlib.ExitStack()
        #: With password; known once the stack was started.
        self.redis_url = ""
        #: With password; known once the stack was started.
        self.database_url = ""
        #: With user and password; None without Flower.
        self.flower_url: str | None = None

    def start(self) -> None:
        """Start everything and wait until it is ready. When a part fails, none is left running."""
        with contextlib.ExitStack() as opening:
            self._state_dir.mkdir(mode=0o711, parents=True, exist_ok=True)
            opening.enter_context(exclusive(self._state_dir, "stack"))
            self._start_servers(opening)
            opening.callback(self._supervisor.stop)
            self._start_programs()
            self._supervisor.watch()
            opening.callback(StackFile.remove, self._state_dir)
            self._stack_file().write(self._state_dir)
            self._open = opening.pop_all()

    def _start_servers(self, opening: contextlib.ExitStack) -> None:
        options = self._options
        servers = EmbeddedServers(
            self._state_dir,
            durable=options.durable,
            redis=options.redis_url is None,
            database=options.database_url is None,
        )
        opening.enter_context(servers)
        opening.callback(self._tell, "servers", "stopping")
        for server in servers.running:
            self._services.append(server)
            self._supervisor.adopt(server)
        self.redis_url = options.redis_url or servers.redis_url
        self.database_url = options.database_url or servers.database_url

    def _start_programs(self) -> None:
        surroundings = self._surroundings()
        if self._options.migrate:
            programs.migrate(surroundings)
            self._tell("migrate", "done")
        workers = list(self._workers(surroundings))
        others = list(self._others(surroundings))
        self._services += [*workers, *others]
        self._supervisor.start(workers, others)

    def _surroundings(self) -> Surroundings:
        options = self._options
        env = programs.environment(self._state_dir, self.redis_url, self.database_url, options.env)
        return Surroundings(self._state_dir, env)

    def _workers(self, surroundings: Surroundings) -> Iterator[Service]:
        for number in range(1, self._options.workers + 1):
            yield Announced(f"worker-{number}", surroundings, "worker", *self._worker_options())

    def _others(self, surroundings: Surroundings) -> Iterator[Service]:
        if self._options.beat:
            yield Announced("beat", surroundings, "beat")
        if self._options.flower:
            flower = Flower(surroundings, password(self._state_dir, "flower"))
            self.flower_url = flower.url
            yield flower

    def _worker_options(self) -> Iterator[str]:
        if self._options.concurrency is not None:
            yield from ("--concurrency", str(self._options.concurrency))
        for module in self._options.agents:
            yield from ("--agents", module)

    def _stack_file(self) -> StackFile:
        return StackFile.of_this_process(self.redis_url, self.database_url, self.flower_url)

    def pids(self) -> dict[str, int]:
        """The process ids of all that runs, by name: `redis`, `postgres`, `worker-1`, ..."""
        return {one.name: one.pid for one in self._services if one.alive and one.pid}

    def wait(self) -> None:
        """Wait until Ctrl-C. Raises ServiceFailed when a part keeps dying."""
        with contextlib.suppress(KeyboardInterrupt):
            self._supervisor.wait()

    def stop(self) -> None:
        """Stop everything, in order. Data stay."""
        self._open.close()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as opening:
            opening.enter_context(_interrupted_by(signal.SIGTERM, signal.SIGHUP))
            self.start()
            self._signals = opening.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._signals:
            self.stop()


@contextlib.contextmanager
def _interrupted_by(*signals: signal.Signals) -> Iterator[None]:
    """Let the first of these signals raise KeyboardInterrupt; the others would disturb the stop.

    Python allows that to the main thread only.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> NoReturn:
        for one in signals:
            signal.signal(one, signal.SIG_IGN)
        raise KeyboardInterrupt

    former = {one: signal.signal(one, interrupt) for one in signals}
    try:
        yield
    finally:
        for one, handler in former.items():
            signal.signal(one, handler)
