"""The engine on a bench: real servers, a clock that can be moved, a worker that is this process.

Nothing runs by itself here. A test plays each party in turn: the service that spawns, the
worker that reads a message, the beat that sweeps; and leaves out the step that is to be lost.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, cast

import psycopg
import redis

from orchestrator.admission.keys import hash_tag
from orchestrator.admission.replies import Glance
from orchestrator.agents.registry import RegisteredAgent, Registry
from orchestrator.domain.instance import AgentSpec, Instance, Parent, SpawnRequest
from orchestrator.domain.limits import Limits
from orchestrator.domain.priority import Priority
from orchestrator.engine.deps import Deps
from orchestrator.engine.execute import Host, execute
from orchestrator.engine.heartbeat import beat, enforce
from orchestrator.engine.running import Running
from orchestrator.engine.spawn import spawn
from orchestrator.transport.envelope import PRIORITY_LEVELS, PRIORITY_SEPARATOR
from tests.support.make import parent_of
from tests.support.waiting import wait_until
from workers.runtimes.every import EveryRuntime

#: `lib/now.lua`, but ahead of the server's clock by as much as a test says.
CLOCK = """
local now
do
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
      + tonumber(redis.call('GET', KEYS[1] .. ':ahead') or '0')
end
"""
# Long, so that a slow machine does not let a lease run out that a test does not want to.
LEASE, DISPATCH = 60.0, 120.0
WIDE = Limits(session_concurrency=1_000, tenant_concurrency=1_000)
#: Traces that even a refusal leaves: its count, and the clocks.
_COUNTERS = (":refusals", ":rounds:", ":ahead", ":server_clock", ":compared_clocks")


class Bench:
    """One engine and everything that can be done to it."""

    def __init__(self, deps: Deps, registry: Registry) -> None:
        self.deps = deps
        self.registry = registry
        #: +1 for each thread that begins only to wait, -1 for each that goes on
        self.parked: list[int] = []
        self.running = Running(on_parked=self.parked.append)
        self.host = self.new_host("bench")
        self._ahead = 0.0

    def new_host(self, name: str, registry: Registry | None = None) -> Host:
        """Another worker process, as far as anybody can tell."""
        runtime = EveryRuntime(self.deps, registry or self.registry, self.deps.max_payload_bytes)
        return Host(name, self.running if name == "bench" else Running(), runtime)

    # --- setting the scene ------------------------------------------------------------------

    def agent(self, name: str, function: Callable[..., Any], **spec: Any) -> None:
        """Make a function an agent that every argument may be given to."""
        self.registry.add(RegisteredAgent(AgentSpec(name, takes_any=True, **spec), function))

    def limit(
        self,
        victim: str = "closer",
        preempt_from: Priority | None = Priority.CRITICAL,
        **limits: int,
    ) -> None:
        """Set limits; all others are wide."""
        self.deps.gate.configure(
            replace(WIDE, **limits),
            lease=LEASE,
            dispatch=DISPATCH,
            outbox=False,
            victim=victim,
            preempt_from=preempt_from,
        )

    def limit_history(self, operations: int) -> None:
        """Bound what one history holds."""
        self.deps = replace(self.deps, max_history=operations)
        self.host = self.new_host("bench")

    def advance(self, seconds: float) -> None:
        """Let time pass for the gate."""
        self._ahead += seconds
        self.deps.gate.redis.set(hash_tag(self.deps.gate.name) + ":ahead", round(self._ahead * 1e3))

    def offer(self, capacity: int = 100, pool: str = "default", worker: str = "bench") -> None:
        """A worker is there and has so much room."""
        self.deps.gate.heartbeat(worker, pool, capacity, [])

    # --- playing the parties ----------------------------------------------------------------

    def spawn(
        self, agent: str = "add", args: Mapping[str, Any] | None = None, **fields: Any
    ) -> str:
        """As a service or, with `parent`, an agent does it."""
        parent: Parent | None = fields.pop("parent", None)
        default = {"a": 1} if agent == "add" else {}
        request = SpawnRequest(agent, default if args is None else args, **fields)
        return spawn(self.deps, request, parent)

    def begin(self, instance_id: str, worker: str = "bench") -> Instance:
        """As the worker that got the message does, up to running the code."""
        instance = self.deps.store.begin(instance_id, self.glance(instance_id).attempt, worker)
        assert instance is not None
        return instance

    def begun_parent(self, position: int = 0, **fields: Any) -> Parent:
        """A running root, as the parent of its next spawn."""
        return parent_of(self.begin(self.spawn("echo", **fields)), position)

    def execute(self, instance_id: str, attempt: int | None = None) -> Instance:
        """Run an attempt from message to end; the newest one unless said otherwise."""
        newest = self.glance(instance_id).attempt if attempt is None else attempt
        execute(self.deps, self.host, instance_id, newest)
        return self.row(instance_id)

    def work_until(self, fact: Callable[[], object], what: str) -> None:
        """Read messages and run each on a thread of its own until something is true."""
        threads: list[threading.Thread] = []

        def look() -> object:
            for message in self.take_messages():
                threads.append(
                    threading.Thread(target=execute, args=(self.deps, self.host, *message))
                )
                threads[-1].start()
            return fact()

        try:
            wait_until(look, what)
        finally:
            for thread in threads:
                thread.join(timeout=20)

    @contextmanager
    def working(self, *, beating: bool = False) -> Iterator[None]:
        """While inside, every message is read and run on a thread of its own, as by a worker.

        If it is `beating` too, what has a time happens in time.
        """
        done = threading.Event()
        threads: list[threading.Thread] = []

        def read() -> None:
            while not done.wait(0.005):
                if beating:
                    self.beat()
                for message in self.take_messages():
                    run = threading.Thread(target=execute, args=(self.deps, self.host, *message))
                    threads.append(run)
                    run.start()

        reader = threading.Thread(target=read)
        reader.start()
        try:
            yield
        finally:
            done.set()
            # First of all: it may be starting another one.
            reader.join(timeout=20)
            for thread in threads:
                thread.join(timeout=20)

    def wait_for_end(self, instance_id: str) -> None:
        """Return once an instance has ended and its slot is free."""
        wait_until(
            lambda: self.row(instance_id).state.is_terminal and not self.running.all(),
            f"{instance_id} has ended",
        )

    def take_messages(self, pool: str = "default") -> list[tuple[str, int]]:
        """Empty the pool's queue: id and attempt of each message, most urgent first."""
        texts: list[str] = []
        queue = self.deps.gate.queues(pool)[0]
        for level in PRIORITY_LEVELS:
            name = f"{queue}{PRIORITY_SEPARATOR}{level}" if level else queue
            while text := self.deps.gate.redis.rpop(name):
                texts.append(cast(str, text))
        bodies = [json.loads(json.loads(text)["body"]) for text in texts]
        return [(instance_id, attempt) for (instance_id, attempt), *_ in bodies]

    def beat(self, capacity: int = 100) -> None:
        """The heartbeat of the bench's own worker."""
        beat(self.deps, self.host, "default", capacity)

    def enforce(self, *, abandon: bool = False) -> None:
        """The look at deadlines that a worker takes four times a second."""
        deps = replace(self.deps, stop_grace=-1.0) if abandon else self.deps
        enforce(deps, self.host)

    # --- looking ----------------------------------------------------------------------------

    def row(self, instance_id: str) -> Instance:
        """The instance in PostgreSQL, which must be there."""
        instance = self.deps.store.get(instance_id)
        assert instance is not None
        return instance

    def glance(self, instance_id: str) -> Glance:
        """The instance in the gate."""
        return self.deps.gate.glance(instance_id)

    def places(self, *ids: str) -> list[str]:
        """Where the gate has each of these."""
        return [self.glance(one).place for one in ids]

    def trail(self, instance_id: str) -> list[tuple[str, str | None]]:
        """States and reasons of the audit trail."""
        return [(event.to_state, event.reason) for event in self.deps.store.events(instance_id)]

    def state(self) -> dict[str, object]:
        """Everything that is anywhere, but for counters."""
        return {**_rows(self.deps), **gate_state(self.deps)}


def gate_state(deps: Deps) -> dict[str, object]:
    """What Redis holds, key by key, but for counters."""
    client = deps.gate.redis
    keys = [one for one in client.scan_iter() if not any(mark in one for mark in _COUNTERS)]
    return {one: _value(client, one) for one in sorted(keys)}


#: What is packed, as something that can be compared.
_UNPACK = "return cjson.encode(cmsgpack.unpack(redis.call('GET', KEYS[1])))"
_PACKED = (":resource:", ":call:")


def _value(client: redis.Redis, name: str) -> object:
    if any(mark in name for mark in _PACKED):
        return json.loads(cast(str, client.eval(_UNPACK, 1, name)))
    read: dict[str, Callable[[], object]] = {
        "string": lambda: client.get(name),
        "hash": lambda: client.hgetall(name),
        "set": lambda: client.smembers(name),
        "zset": lambda: client.zrange(name, 0, -1, withscores=True),
        "list": lambda: client.lrange(name, 0, -1),
    }
    return read[cast(str, client.type(name))]()


def _rows(deps: Deps) -> dict[str, object]:
    tables = ("sessions", "instances", "events")
    with deps.store.database.connection() as connection:
        return {
            table: connection.execute(f"SELECT * FROM {table} ORDER BY 1".encode()).fetchall()
            for table in tables
        }


def count(connection: psycopg.Connection[Any], table: str) -> int:
    """How many rows a table has."""
    row = connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()
    assert row is not None
    return int(row[0])
