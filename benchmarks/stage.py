"""Everything that is measured, started and stopped: servers, our workers, the bare workers."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import redis
from celery import Celery

from benchmarks import bare, stock
from benchmarks.disk import real_disk
from benchmarks.plan import Plan
from orchestrator import Limits, Orchestrator, Settings, bootstrap
from orchestrator.agents.registry import REGISTRY
from orchestrator.devstack import Stack, StackOptions
from orchestrator.devstack.process import Command
from orchestrator.devstack.programs import Surroundings, environment
from orchestrator.devstack.service import Service
from orchestrator.devstack.supervisor import OnEvent
from orchestrator.engine.deps import Deps
from orchestrator.store.database import to_libpq

#: Far above what is started here: limits are to be checked, and never to be met.
_PLENTY = 1_000_000
_LIMITS = (
    *("session_concurrency", "tenant_concurrency", "pool_concurrency", "global_concurrency"),
    *("tenant_queue", "global_queue"),
)


@dataclass(frozen=True)
class Stage:
    """What the measurements use."""

    plan: Plan
    orchestrator: Orchestrator
    deps: Deps
    #: a plain client: the round trips of the floor, and the lists that times are pushed to
    redis: redis.Redis
    #: a plain connection that commits each statement: the commits of the floor
    database: psycopg.Connection
    #: publishers of the two bare applications
    bare: Celery
    stock: Celery
    #: for more programs beside them
    surroundings: Surroundings


@contextlib.contextmanager
def stage(plan: Plan, tell: OnEvent) -> Iterator[Stage]:
    """A whole system with durable servers in a folder on a disk, gone afterwards."""
    forget_settings()
    with contextlib.ExitStack() as opened:
        folder = opened.enter_context(_folder())
        limits = plenty()
        options = StackOptions(
            folder,
            concurrency=plan.concurrency,
            agents=("benchmarks.agents",),
            flower=False,
            env=limits,
        )
        stack = opened.enter_context(Stack(options, tell))
        env = environment(folder, stack.redis_url, stack.database_url, limits)
        surroundings = Surroundings(folder, env)
        opened.enter_context(_bare_workers(surroundings, plan.concurrency, tell))
        yield opened.enter_context(_ready(plan, stack, surroundings))


def plenty() -> dict[str, str]:
    """Limits that nothing meets, as programs are told them."""
    return {f"ORCHESTRATOR_LIMITS__{name.upper()}": str(_PLENTY) for name in _LIMITS}


def forget_settings() -> None:
    """Leave out what the surroundings say: servers and settings are the benchmark's own."""
    for name in [name for name in os.environ if name.startswith("ORCHESTRATOR_")]:
        del os.environ[name]


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="orchestrator-bench-", dir=real_disk()) as name:
        # As root, PostgreSQL runs as another user, who must be able to enter it.
        Path(name).chmod(0o711)
        yield Path(name)


@contextlib.contextmanager
def _ready(plan: Plan, stack: Stack, surroundings: Surroundings) -> Iterator[Stage]:
    settings = Settings.load(
        redis_url=stack.redis_url,
        database_url=stack.database_url,
        limits=Limits(**dict.fromkeys(_LIMITS, _PLENTY)),
    )
    deps = bootstrap.build(settings, specs=REGISTRY.specs())
    with (
        Orchestrator(deps) as orchestrator,
        redis.Redis.from_url(stack.redis_url, decode_responses=True) as client,
        psycopg.connect(to_libpq(stack.database_url), autocommit=True) as database,
    ):
        apps = bare.make(settings), stock.make(settings)
        yield Stage(plan, orchestrator, deps, client, database, *apps, surroundings)


@contextlib.contextmanager
def _bare_workers(surroundings: Surroundings, concurrency: int, tell: OnEvent) -> Iterator[None]:
    ours = ("--pool=custom", "--without-mingle", "--without-gossip")
    threads = f"--concurrency={concurrency}"
    workers = [
        BareWorker("bare", surroundings, threads, *ours),
        BareWorker("stock", surroundings, threads, "--pool=threads"),
    ]
    with contextlib.ExitStack() as opened:
        for worker in workers:
            opened.callback(worker.stop)
            worker.launch()
        for worker in workers:
            worker.wait_ready()
            tell(worker.name, "ready")
        yield


class BareWorker(Service):
    """A Celery worker with nothing of ours but, for `bare`, the settings and the pool."""

    ready_s = 60.0

    def __init__(self, name: str, surroundings: Surroundings, *arguments: str) -> None:
        super().__init__(name)
        self._surroundings = surroundings
        self._arguments = arguments
        self._ready_file = surroundings.state_dir / "run" / f"{name}.ready"

    def _command(self) -> Command:
        return self._surroundings.command(
            self.name,
            ("celery", "-A", f"benchmarks.{self.name}_worker"),
            "worker",
            "--loglevel=WARNING",
            f"--queues={self.name}",
            *self._arguments,
            ORCHESTRATOR_READY_FILE=str(self._ready_file),
            CELERY_CUSTOM_WORKER_POOL="workers.pool:TaskPool",
        )

    def _answers(self) -> bool:
        return self._ready_file.exists()
