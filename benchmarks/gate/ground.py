"""One server, and gates on it that have nothing else to do."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import redis

from benchmarks.disk import real_disk
from benchmarks.gate.plan import GatePlan
from orchestrator import Limits
from orchestrator.admission.gate import Gate
from orchestrator.admission.keys import hash_tag
from orchestrator.admission.scripts import Library
from orchestrator.devstack import EmbeddedServers
from orchestrator.domain.ids import new_id
from orchestrator.domain.instance import Instance, NewInstance
from orchestrator.domain.lifecycle import State
from orchestrator.domain.priority import Priority
from orchestrator.domain.retry import RetryPolicy
from orchestrator.transport import envelope

#: Seconds: nothing runs out while it is measured.
LEASE = 36_000.0
#: Far above what is started here: limits are to be checked, and never to be met.
PLENTY = 100_000_000
POOL = "default"
#: Where clocks begin that are set: a date in milliseconds, with as many digits as a real one.
EPOCH = 1_800_000_000_000


@dataclass(frozen=True)
class Ground:
    """What the measurements use."""

    plan: GatePlan
    url: str
    #: a plain client of redis-py: for PING, the peers, and looks at the server
    redis: redis.Redis

    @contextlib.contextmanager
    def gate(
        self, name: str, limits: Limits, capacity: int = PLENTY, *, clock: str | None = None
    ) -> Iterator[Gate]:
        """An open gate of this name, whose workers offer `capacity`; it is emptied afterwards.

        `clock` is Lua that takes the place of the server's clock.
        """
        library = Library(envelope.lua_function(), clock)
        gate = Gate(self.url, library, name=name, timeout=60.0)
        if clock:
            self.redis.set(f"{hash_tag(name)}:clock", EPOCH)
        gate.begin_rebuild("benchmark", LEASE)
        gate.configure(limits, lease=LEASE, dispatch=LEASE, outbox=False)
        gate.finish_rebuild("benchmark")
        gate.heartbeat("worker", POOL, capacity, [])
        with contextlib.closing(gate):
            yield gate
            self.drop(name)

    def drop(self, name: str) -> None:
        """Remove all keys of a gate."""
        found = self.redis.scan_iter(match="{" + name + "}*", count=10_000)
        for keys in _pages(found, 1_000):
            self.redis.unlink(*keys)


@contextlib.contextmanager
def ground(plan: GatePlan) -> Iterator[Ground]:
    """A durable server of the benchmark's own in a folder on a disk, gone afterwards."""
    with (
        tempfile.TemporaryDirectory(prefix="orchestrator-bench-", dir=real_disk()) as name,
        EmbeddedServers(Path(name), durable=True, database=False) as servers,
        connect(servers.redis_url) as client,
    ):
        # It would be rewritten at some moment between two rounds.
        client.config_set("auto-aof-rewrite-percentage", 0)
        yield Ground(plan, servers.redis_url, client)


def connect(url: str) -> redis.Redis:
    """A client of redis-py with more patience than the longest wait of a benchmark."""
    return redis.Redis.from_url(url, socket_timeout=120.0)


def plenty(**fields: int) -> Limits:
    """Limits that are checked and never met, but for these."""
    names = ("session_concurrency", "tenant_concurrency", "pool_concurrency", "global_concurrency")
    queues = ("session_queue", "tenant_queue", "global_queue")
    return Limits(**dict.fromkeys((*names, *queues), PLENTY) | fields)


def spawn_of(tenant: str = "tenant", session: str = "session") -> NewInstance:
    """A checked spawn as the engine makes it."""
    instance_id = new_id(tenant)
    return NewInstance(
        id=instance_id,
        agent="noop",
        session=session,
        tenant=tenant,
        pool=POOL,
        priority=Priority.NORMAL,
        depth=0,
        root_id=instance_id,
        args="{}",
        timeout_seconds=60.0,
        retry=RetryPolicy(),
    )


def row_of(new: NewInstance, state: State = State.QUEUED, attempt: int = 0) -> Instance:
    """A spawn as PostgreSQL has it."""
    return Instance(
        id=new.id,
        agent=new.agent,
        session=new.session,
        tenant=new.tenant,
        pool=new.pool,
        priority=new.priority,
        parent_id=None,
        root_id=new.root_id,
        depth=new.depth,
        state=state,
        reason=None,
        attempt=attempt,
        failures=0,
        timeout_seconds=new.timeout_seconds,
        retry=new.retry,
        args={},
        result=None,
        error=None,
        worker=None,
        not_before=None,
        created_at=datetime.now(UTC),
        started_at=None,
        ended_at=None,
    )


def enqueue(gate: Gate, new: NewInstance) -> None:
    """Both scripts of a spawn that finds no room."""
    gate.check_in(new, "queue")
    gate.follow(new)


def _pages(items: Iterator[bytes], size: int) -> Iterator[list[bytes]]:
    page: list[bytes] = []
    for item in items:
        page.append(item)
        if len(page) == size:
            yield page
            page = []
    if page:
        yield page
