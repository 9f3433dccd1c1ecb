"""Where the agents of a harness run: one after the other, on the thread of the test."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from orchestrator.domain.call import CallRecord
from orchestrator.domain.journal import Entry
from orchestrator.engine.call import Wish
from orchestrator.testing.agents import Agents
from orchestrator.testing.attempt import run_attempt
from orchestrator.testing.faults import Crash, Refusal
from orchestrator.testing.floors import virtual_deps
from orchestrator.testing.row import Row
from orchestrator.testing.world import World
from workers.runtimes.loop import Loops

#: Attempts of one instance after which it is taken for one that never ends.
MOST_ATTEMPTS = 100_000


class RunsForEver(Exception):
    """An instance is run again and again."""


class Stage:
    """A world, its agents, and what a test lets go wrong."""

    def __init__(
        self,
        world: World,
        *,
        replay_always: bool,
        max_history: int,
        max_payload_bytes: int,
    ) -> None:
        self.world = world
        self.agents = Agents()
        self.replay_always = replay_always
        self.rules = virtual_deps(world, self.agents, max_history, max_payload_bytes)
        #: what `async def` agents run on
        self.loops = Loops()
        self.calls: list[CallRecord] = []
        self.crashes: list[Crash] = []
        self.refusals: list[Refusal] = []
        self._later: list[tuple[datetime, int, Callable[[], object]]] = []

    # --- time -------------------------------------------------------------------------------

    def work(self) -> None:
        """Run what can run now; no time passes."""
        self._do_what_is_due()
        while (row := self.world.next_ready()) is not None:
            if row.instance.attempt >= MOST_ATTEMPTS:
                raise RunsForEver(
                    f"{row.instance.agent} {row.id} was run {MOST_ATTEMPTS:,} times, and goes on."
                )
            run_attempt(self, row)
            self._do_what_is_due()

    def advance(self, seconds: float) -> None:
        """Let so much time pass, and do what happens in it."""
        end = self.world.now + timedelta(seconds=seconds)
        self.work()
        while (time := self.next_time()) is not None and time <= end:
            self.jump(time)
        self.world.now = max(end, self.world.now)
        self.work()

    def jump(self, time: datetime) -> None:
        """Go to a time, and run what can run then."""
        self.world.now = max(time, self.world.now)
        self.work()

    def next_time(self) -> datetime | None:
        """When something happens by itself."""
        times = [self.world.next_time(), self._later[0][0] if self._later else None]
        return min((time for time in times if time is not None), default=None)

    def later(self, seconds: float, action: Callable[[], object]) -> None:
        """Do something in so many seconds."""
        time = self.world.now + timedelta(seconds=seconds)
        heapq.heappush(self._later, (time, self.world.next_turn(), action))

    def _do_what_is_due(self) -> None:
        while self._later and self._later[0][0] <= self.world.now:
            heapq.heappop(self._later)[2]()

    # --- what attempts ask ------------------------------------------------------------------

    def journal(self, row: Row) -> Sequence[Entry]:
        """All that an instance has done so far, by position."""
        children = [
            Entry.of_child(child.position, child.instance.agent, child.id, child.instance.args)
            for child in self.world.children(row.id)
            if child.position is not None and not child.instance.superseded
        ]
        return sorted([*row.steps.values(), *children], key=lambda one: one.position)

    def crashes_at(self, agent: str, position: int, *, unrecorded: bool = False) -> bool:
        """Whether the worker dies here."""
        return any(one.strikes(agent, position, unrecorded=unrecorded) for one in self.crashes)

    def check_call(self, wish: Wish) -> None:
        """Raise `CallRefused` for a call that a test wants refused."""
        for refusal in self.refusals:
            refusal.check(wish)
