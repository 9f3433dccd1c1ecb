"""One schedule: a play on an empty ground, with everything that its seed lets go wrong."""

from __future__ import annotations

import functools
import random
from collections import Counter
from collections.abc import Callable

from orchestrator.agents.context import Context
from orchestrator.client.orchestrator import Orchestrator
from orchestrator.domain.retry import RetryBudget
from orchestrator.engine import rebuild
from orchestrator.engine.catalogue import Catalogue
from orchestrator.engine.deps import Deps
from orchestrator.engine.open_calls import OpenCalls
from tests.rules.evidence import Accepted, Effect, Evidence
from tests.rules.gate_view import look
from tests.rules.judge import Verdict, judge
from tests.simulation.broker import Broker
from tests.simulation.carriers import Carriers
from tests.simulation.chooser import Chooser, Decision
from tests.simulation.floors import SimulatedNotifier
from tests.simulation.ground import GATE, Ground
from tests.simulation.parties import DISPATCH, LEASE, Beat, Party, Service, Worker
from tests.simulation.peace import HARMLESS, RUNNING, crowding
from tests.simulation.plays import Play, Troupe, registry_of
from tests.simulation.scheduler import Actor, Scheduler

#: Points for which things may go wrong.
WILD = (60, 120, 250)
#: Seconds of the clock after which everything must have come to rest, once nothing goes wrong.
REST = 240.0
#: Points between two looks at what must hold at any moment.
LOOK_EVERY = 80
#: Seconds until a process that died is there again.
AGAIN = 2.0


_ROWS = (
    "SELECT * FROM instances ORDER BY id",
    "SELECT * FROM events WHERE kind = 'state' ORDER BY sequence",
    "SELECT * FROM steps ORDER BY instance_id, position",
)


class Stage:
    """Everything that is made anew for each schedule."""

    def __init__(self, ground: Ground, play: Play, seed: int, chooser: Chooser) -> None:
        ground.empty()
        self.ground, self.play = ground, play
        self.clock = ground.clock
        draw = random.Random(f"{seed}:stage")
        self._wild = draw.choice(WILD)
        self.effects: list[Effect] = []
        #: what was wrong on the way
        self.verdict = Verdict({}, [])
        self.scheduler = Scheduler(self.clock, chooser, _carriers)
        self.scheduler.on_fault = self._fault
        self.scheduler.on_look = self._look
        self.broker = Broker()
        self._notifier = SimulatedNotifier(self.scheduler)
        self._numbers: Counter[str] = Counter()
        self.deps = self._wire(draw)
        self.troupe = Troupe(Orchestrator(self.deps), self._act)
        registry = registry_of(play, self.troupe)
        self.deps.catalogue._local = registry.specs()
        self._party = Party(self.deps, self.scheduler, self.broker, registry)
        self._services = [
            Service(self._party, f"service{number}", deeds)
            for number, deeds in enumerate(play.deeds(self.troupe), start=1)
        ]
        #: whether the gate has yet to be filled by whoever comes first
        self._is_new = draw.random() < 0.1
        self._size = (draw.choice((1, 2, 2, 3)), draw.choice((1, 2)))

    def _wire(self, draw: random.Random) -> Deps:
        gate = self.ground.gate
        deps = Deps(
            store=self.ground.store,
            gate=gate,
            notifier=self._notifier,
            catalogue=Catalogue({}, dict),
            calls=OpenCalls(gate, LEASE / 3),
            limits=self.play.limits,
            max_payload_bytes=65_536,
            max_history=1_000,
            default_timeout=600.0,
            lease=LEASE,
            dispatch=DISPATCH,
            deadlock_victim=draw.choice(("closer", "youngest")),
            # Whether a session may try again is no matter of what is played here.
            retries=RetryBudget(ratio=1.0, floor=1_000),
        )
        gate.on_empty = functools.partial(rebuild.run_shard, deps)
        return deps

    # --- the schedule -----------------------------------------------------------------------

    def perform(self) -> bool:
        """Play it to its end; whether everything came to rest."""
        workers, beats = self._size
        if not self._is_new:
            rebuild.run_once(self.deps)
        for _ in range(workers):
            self._worker()
        for _ in range(beats):
            self._beat()
        for service in self._services:
            service.start()
        self.ground.shard.scheduler = self.ground.database.scheduler = self.scheduler
        self.ground.shard.on_told = self._told
        try:
            self._run_wild()
            self.scheduler.chooser.is_calm = True
            return self._come_to_rest()
        finally:
            self.scheduler.end()
            self.ground.shard.scheduler = self.ground.database.scheduler = None

    def _run_wild(self) -> None:
        while self.scheduler.points < self._wild:
            self._run_for_a_second(lambda: self.scheduler.points >= self._wild)
            if self._is_at_rest():
                return

    def _come_to_rest(self) -> bool:
        end = self.clock.seconds + REST
        while self.clock.seconds < end:
            self._run_for_a_second(lambda: False)
            if self._is_at_rest():
                return True
        return False

    def _run_for_a_second(self, is_over: Callable[[], bool]) -> None:
        """Let them go on until it is over, or time has passed and nobody does anything."""
        soon, late = self.clock.seconds + 1.0, self.clock.seconds + REST
        self.scheduler.is_over = lambda: (
            is_over()
            or (self.clock.seconds > soon and self._seems_quiet())
            or self.clock.seconds > late
        )
        self.scheduler.run()

    def _seems_quiet(self) -> bool:
        """Whether nobody does anything now."""
        return (
            not len(self.broker)
            and not any(self._party.runs.values())
            and all(service.is_done for service in self._services)
        )

    def _is_at_rest(self) -> bool:
        if not self._seems_quiet():
            return False
        [row] = self.ground.rows("SELECT count(*) AS live FROM instances WHERE ended_at IS NULL")
        return row["live"] == 0 and not look(self.ground.shard.redis, GATE).remains

    def evidence(self, *, at_rest: bool) -> Evidence:
        """What is there now."""
        instances, events, steps = (self.ground.rows(text) for text in _ROWS)
        return Evidence(
            instances=instances,
            events=events,
            steps=steps,
            gate=look(self.ground.shard.redis, GATE),
            effects=self.effects,
            limits=self.play.limits,
            at_rest=at_rest,
            accepted=[Accepted(one) for one in self.troupe.ids.values()],
        )

    # --- what happens in it -----------------------------------------------------------------

    def _worker(self) -> None:
        self._numbers["worker"] += 1
        Worker(self._party, f"worker{self._numbers['worker']}", self.play.capacity).start()

    def _beat(self) -> None:
        self._numbers["beat"] += 1
        Beat(self._party, f"beat{self._numbers['beat']}").start()

    def _act(self, ctx: Context, name: str, seconds: float = 0.0) -> str:
        """A step whose action is noted; its worker may die before the action or after it."""

        def action() -> str:
            self.scheduler.point(f"action {name}", "before")
            if seconds:
                self.scheduler.sleep(seconds)
            self.effects.append(Effect(ctx.id, ctx.attempt, name, self.clock.seconds))
            self.scheduler.point(f"action {name}", "after")
            return name

        return str(ctx.step(name, action))

    def _look(self, label: str, phase: str) -> None:
        """What must hold at any moment does."""
        if self.scheduler.points % LOOK_EVERY == 0:
            self.verdict += judge(self.evidence(at_rest=False))
        if (phase, label) == ("after", "store begin") and self.faults() <= HARMLESS:
            self.verdict += crowding(self.ground.rows(RUNNING), self.play.limits)

    def faults(self) -> set[str]:
        """The kinds of what has gone wrong."""
        return {one.kind for one in self.scheduler.chooser.taken.values()} - {"switch"}

    def _told(self, command: str, target: str, text: str) -> None:
        if command == "LPUSH":
            self.broker.push(text)
            return
        decision = self.scheduler.point(f"publication {target.rpartition(':')[2]}", "told")
        if decision is None:
            self._notifier.tell(target, text)

    def _fault(self, decision: Decision, actor: Actor) -> None:
        match decision.kind:
            case "crash":
                self._start_again(actor.process)
                self.scheduler.kill(actor.process)
            case "leap":
                self.clock.now += round(float(decision.value) * 1000)
            case "gate_leap":
                self.clock.gate_ahead += round(float(decision.value) * 1000)
            case "empty":
                self.ground.shard.empty()
                self.broker.empty()

    def _start_again(self, process: str) -> None:
        """Somebody sees to it that there are as many processes as before."""

        def later() -> None:
            self.scheduler.sleep(AGAIN)
            self._revive(process)

        if process != "network":
            self.scheduler.start(f"supervisor of {process}", "supervisor", later)

    def _revive(self, process: str) -> None:
        if process.startswith("worker"):
            self._worker()
        elif process.startswith("beat"):
            self._beat()
        for service in self._services:
            if service.name == process:
                service.start()


_carriers = Carriers()
