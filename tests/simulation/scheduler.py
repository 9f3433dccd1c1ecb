"""Runs actors one at a time and decides at every point who goes on, or what goes wrong.

An actor is a thread that holds the baton or waits for it. It comes to a point before and after
each round trip to a server, and wherever it sleeps or waits. There the chooser decides: go on
(the usual), let another actor go on, or a fault. So a schedule is its seed, or the list of what
was not usual in it.
"""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.simulation.carriers import Carriers
from tests.simulation.chooser import Chooser, Decision
from tests.simulation.clock import Clock

#: Real seconds after which a schedule in which nothing moves is a bug of the simulator.
PATIENCE = 60.0
FOREVER = float("inf")


class Died(BaseException):
    """The process of this actor is dead. No `Exception`: nobody may catch it and go on."""


class Baton:
    """What an actor waits for until it is given to it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()
        self.give = self._lock.release

    def take(self, patience: float = -1) -> bool:
        """Wait for it; False when it did not come within so many real seconds."""
        return self._lock.acquire(timeout=patience)


@dataclass(eq=False)
class Actor:
    """One thread of a process of the system under test."""

    name: str
    #: all actors of a process die together
    process: str
    baton: Baton = field(default_factory=Baton)
    #: milliseconds of the clock at which it goes on; 0: it could go on now
    until: float = 0
    #: the same for its process as a whole, which somebody has stopped
    frozen_until: float = 0
    points: int = 0
    is_dead: bool = False
    #: who goes on once it has left, if it was killed
    heir: Actor | None = None
    #: raised at its next point, as code that is broken into
    interrupt: type[BaseException] | None = None

    @property
    def due(self) -> float:
        """When it can go on."""
        return max(self.until, self.frozen_until)


@dataclass(frozen=True)
class Moment:
    """One line of a story: what an actor came to, and what was decided there."""

    at: float
    actor: str
    label: str
    decision: Decision | None


class Stuck(Exception):
    """The simulator itself is wrong: somebody holds the baton and does not come back."""


class Scheduler:
    """The actors of one schedule, of which exactly one runs."""

    def __init__(self, clock: Clock, chooser: Chooser, carriers: Carriers) -> None:
        self.clock = clock
        self.chooser = chooser
        self._carriers = carriers
        self.actors: list[Actor] = []
        self._by_thread: dict[int, Actor] = {}
        self._names: Counter[str] = Counter()
        self.director = Actor("director", "director")
        self.current = self.director
        self.story: list[Moment] = []
        self.points = 0
        self.broken: BaseException | None = None
        #: does what a decision that is no switch asks for
        self.on_fault: Callable[[Decision, Actor], None] = lambda _decision, _actor: None
        #: called at every point, with its label and its phase
        self.on_look: Callable[[str, str], None] = lambda _label, _phase: None
        #: whether the director is to have the baton back
        self.is_over: Callable[[], bool] = lambda: False

    # --- actors -----------------------------------------------------------------------------

    def start(self, name: str, process: str, action: Callable[[], object]) -> Actor:
        """A new actor, which runs once it is chosen."""
        self._names[name] += 1
        count = self._names[name]
        actor = Actor(name if count == 1 else f"{name}({count})", process)
        self.actors.append(actor)
        self._carriers.carry(lambda: self._live(actor, action))
        return actor

    def acting(self, thread: int) -> Actor | None:
        """The actor that a thread carries."""
        return self._by_thread.get(thread)

    def run(self) -> None:
        """Let the actors run until `is_over`; called by the director."""
        self._leave(self.director, FOREVER)
        if self.broken is not None:
            raise self.broken

    def end(self) -> None:
        """Have every actor leave, without doing anything any more."""
        self.current = self.director
        for actor in list(self.actors):
            self._bury(actor)

    def kill(self, process: str) -> None:
        """Everybody of a process leaves where it is; raises `Died` where that is the caller."""
        mine = self.current
        for actor in [one for one in self.actors if one.process == process]:
            if actor is not mine:
                self._bury(actor)
        if mine.process == process:
            mine.is_dead = True
            raise Died

    def _bury(self, actor: Actor) -> None:
        actor.is_dead = True
        digger = self.current
        # It does nothing any more on its way out, and gives the baton back to whoever killed it.
        actor.heir, self.current = digger, actor
        actor.baton.give()
        self._take(digger)
        self.current = digger

    def _live(self, actor: Actor, action: Callable[[], object]) -> None:
        self._take(actor)
        self._by_thread[threading.get_ident()] = actor
        try:
            if not actor.is_dead:
                action()
        except Died:
            pass
        except BaseException as error:  # what no actor may raise is a finding
            if not actor.is_dead:
                self.broken = self.broken or error
        self.actors.remove(actor)
        (actor.heir or self._next(actor)).baton.give()

    def _take(self, actor: Actor) -> None:
        if actor is not self.director:
            actor.baton.take()
            return
        seen = -1
        while not actor.baton.take(PATIENCE):
            if seen == self.points:
                raise Stuck(f"{self.current.name} does not come back")
            seen = self.points

    # --- points -----------------------------------------------------------------------------

    def point(self, label: str, phase: str) -> Decision | None:
        """An actor has come to a round trip. Answers what is to become of it, if anything."""
        actor = self.current
        if actor.is_dead:
            raise Died
        actor.points += 1
        self.points += 1
        decision = self.chooser.at(actor.name, actor.points, phase, label, self._others)
        self.story.append(Moment(self.clock.seconds, actor.name, f"{phase} {label}", decision))
        self.on_look(label, phase)
        if decision is not None:
            self._do(decision, actor)
        elif phase == "before" and self.is_over():
            self._leave(actor, 0)
        self._strike(actor)
        return decision

    def sleep(self, seconds: float) -> None:
        """The current actor goes on after so many seconds of the clock."""
        self._rest(seconds)

    def wait(self, seconds: float) -> None:
        """It goes on when it is woken, or after so many seconds."""
        self._rest(seconds)

    def wake(self, actor: Actor) -> None:
        """It could go on now."""
        actor.until = 0

    def _rest(self, seconds: float) -> None:
        actor = self.current
        if actor.is_dead:
            raise Died
        actor.points += 1
        # Up to the next millisecond: less than one would never be over.
        self._leave(actor, self.clock.now + math.ceil(max(0.0, seconds) * 1000))
        self._strike(actor)

    def _strike(self, actor: Actor) -> None:
        if actor.interrupt is not None:
            raise actor.interrupt

    def _do(self, decision: Decision, actor: Actor) -> None:
        match decision.kind:
            case "switch":
                other = self._named(str(decision.value))
                if other is not None and other is not actor:
                    actor.until = 0
                    self._hand_to(actor, other)
            case "stall":
                self._leave(actor, self.clock.now + float(decision.value) * 1000)
            case "freeze":
                until = self.clock.now + float(decision.value) * 1000
                for one in self.actors:
                    if one.process == actor.process:
                        one.frozen_until = until
                self._leave(actor, 0)
            case _:
                self.on_fault(decision, actor)

    # --- whose turn it is -------------------------------------------------------------------

    def _others(self) -> list[str]:
        """The names of those that could go on instead of the current one."""
        now = self.clock.now
        return [one.name for one in self.actors if one.due <= now and one is not self.current]

    def _named(self, name: str) -> Actor | None:
        now = self.clock.now
        found = (one for one in self.actors if one.name == name and one.due <= now)
        return next(found, None)

    def _leave(self, actor: Actor, until: float) -> None:
        actor.until = until
        other = self._next(actor)
        if other is not actor:
            self._hand_to(actor, other)

    def _hand_to(self, actor: Actor, other: Actor) -> None:
        self.current = other
        other.baton.give()
        self._take(actor)
        if actor.is_dead:
            raise Died

    def _next(self, actor: Actor) -> Actor:
        """Who goes on when this one cannot: time passes until somebody can."""
        self.current = other = self._choose(actor)
        other.until = 0
        return other

    def _choose(self, actor: Actor) -> Actor:
        if self.broken is not None or self.is_over() or not self.actors:
            return self.director
        soonest = min(one.due for one in self.actors)
        if soonest == FOREVER:
            return self.director
        self.clock.now = max(self.clock.now, round(soonest))
        ready = [one for one in self.actors if one.due <= self.clock.now]
        names = [one.name for one in ready]
        actor.points += 1
        return ready[self.chooser.who(actor.name, actor.points, names)]
