"""Who takes part: workers, beats, services. Each is a process that may die and is started again."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from orchestrator.agents.registry import Registry
from orchestrator.config.settings import Settings
from orchestrator.domain.errors import OrchestratorError, SpawnRefused, Unavailable
from orchestrator.engine.deps import Deps
from orchestrator.engine.execute import Host, execute
from orchestrator.engine.heartbeat import Heart
from orchestrator.engine.rounds import run_round
from orchestrator.engine.running import Run, Running
from tests.simulation.broker import Broker, Message
from tests.simulation.events import Event
from tests.simulation.scheduler import Scheduler
from workers.jobs import JOBS as PRODUCTS
from workers.jobs import Job
from workers.runtimes.python import PythonRuntime

log = logging.getLogger("simulation")

HEARTBEAT, LEASE, DISPATCH = 3.0, 15.0, 30.0
#: The periods of the housekeeping.
_SETTINGS = Settings.model_construct(
    sweep_every=5.0, reap_every=60.0, reconcile_every=60.0, gate_shards=1
)
JOBS = [(job, job.period(_SETTINGS)) for job in PRODUCTS if job.is_needed(_SETTINGS)]


@dataclass
class Party:
    """What all of them share."""

    deps: Deps
    scheduler: Scheduler
    broker: Broker
    registry: Registry
    #: attempts under way, by the worker they are in
    runs: dict[str, int] = field(default_factory=dict)


class _InOrder(dict[Run, None]):
    """The runs of a process, in the order in which they began: a set has none that is the same."""

    def add(self, run: Run) -> None:
        self[run] = None

    def discard(self, run: Run) -> None:
        self.pop(run, None)


class Worker:
    """A process that reads messages and runs attempts."""

    def __init__(self, party: Party, name: str, capacity: int) -> None:
        self._party, self.name, self._capacity = party, name, capacity
        self._scheduler = party.scheduler
        running = Running()
        running._runs = _InOrder()  # type: ignore[assignment]  # as the set that it is
        runtime = PythonRuntime(party.deps, party.registry, party.deps.max_payload_bytes)
        self._host = Host(name, running, runtime)
        self._bell = Event(self._scheduler)
        party.runs[name] = 0

    def start(self) -> None:
        """Begin: the process, and its two threads."""
        self._scheduler.start(f"{self.name} reads", self.name, self._live)

    def _live(self) -> None:
        heart = Heart(self._party.deps, self._host, "default", self._capacity, HEARTBEAT)
        heart.start()
        self._party.broker.readers.append(self._bell)
        try:
            self._read()
        finally:
            self._party.broker.readers.remove(self._bell)
            del self._party.runs[self.name]

    def _read(self) -> None:
        while True:
            self._bell.clear()
            while self._party.runs[self.name] < self._capacity:
                message = self._party.broker.take()
                if message is None:
                    break
                self._receive(message)
            self._bell.wait()

    def _receive(self, message: Message) -> None:
        label = f"message {message.instance_id} #{message.attempt}"
        decision = self._scheduler.point(label, "message")
        if decision is not None and decision.kind == "lose":
            return
        if decision is not None and decision.kind in ("repeat", "delay"):
            self._scheduler.start(
                "network", "network", lambda: self._later(message, decision.value)
            )
            if decision.kind == "delay":
                return
        self._party.runs[self.name] += 1
        name = f"{self.name} runs {message.instance_id[-6:]} #{message.attempt}"
        self._scheduler.start(name, self.name, lambda: self._run(message))

    def _later(self, message: Message, seconds: object) -> None:
        self._scheduler.sleep(float(seconds) if isinstance(seconds, float) else 0.0)
        self._party.broker.put(message)

    def _run(self, message: Message) -> None:
        try:
            execute(self._party.deps, self._host, message.instance_id, message.attempt)
        except OrchestratorError as error:
            log.info("the task has failed: %s", error)
        finally:
            if self.name in self._party.runs:
                self._party.runs[self.name] -= 1
            self._bell.set()


class Beat:
    """A process that does the housekeeping."""

    def __init__(self, party: Party, name: str) -> None:
        self._party, self.name = party, name

    def start(self) -> None:
        """Begin."""
        self._party.scheduler.start(self.name, self.name, self._live)

    def _live(self) -> None:
        clock = self._party.scheduler.clock
        due = [clock.seconds + min(period, JOBS[0][1]) for _, period in JOBS]
        while True:
            self._party.scheduler.sleep(min(due) - clock.seconds)
            for number, (job, period) in enumerate(JOBS):
                if due[number] <= clock.seconds:
                    due[number] = clock.seconds + period
                    self._round(job, period)

    def _round(self, job: Job, period: float) -> None:
        try:
            run_round(self._party.deps, self.name, job.name, period, job.run_once)
        except OrchestratorError as error:
            log.info("the round has failed: %s", error)


@dataclass(frozen=True)
class Deed:
    """Something that a service does, `after` seconds since the schedule began."""

    after: float
    what: str
    action: Callable[[], object]


class Service:
    """A process that does one thing after another, and the same again until it has been told."""

    def __init__(self, party: Party, name: str, deeds: list[Deed]) -> None:
        self._party, self.name, self._deeds = party, name, deeds

    def start(self) -> None:
        """Begin, or go on after its death."""
        self._party.scheduler.start(self.name, self.name, self._live)

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to do."""
        return not self._deeds

    def _live(self) -> None:
        scheduler = self._party.scheduler
        while self._deeds:
            deed = self._deeds[0]
            scheduler.sleep(deed.after - scheduler.clock.seconds)
            while not self._has_done(deed):
                scheduler.sleep(1.0)
            self._deeds.pop(0)

    def _has_done(self, deed: Deed) -> bool:
        try:
            deed.action()
        except Unavailable:
            return False
        except SpawnRefused as refused:
            return not refused.retryable
        except OrchestratorError as error:
            log.info("%s: %s", deed.what, error)
        return True
