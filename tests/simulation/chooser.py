"""What is unusual in a schedule: chosen by a seed, or read from a list."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

#: Seconds for which one actor stands still, or the clock jumps: short of and past each time that
#: the engine has (heartbeats, leases, dispatch, claims of housekeeping).
SPANS = (0.3, 6.0, 16.0, 16.0, 31.0, 45.0, 70.0)
#: What can go wrong before a round trip, after it, with a message, and with a publication.
FAULTS = {
    "before": ("crash", "refuse", "stall", "freeze", "leap", "gate_leap", "empty"),
    "after": ("crash", "lost", "stall"),
    "message": ("lose", "repeat", "delay"),
    "told": ("deaf",),
}
#: There are so many times fewer messages than round trips.
FEW = 8.0
#: Faults that last.
WITH_SPAN = {"stall", "freeze", "leap", "gate_leap", "delay"}
#: Faults that only make sense a few times in a schedule: each takes its time to heal.
HEAVY = {"crash": 4, "empty": 2, "leap": 3, "gate_leap": 1}


@dataclass(frozen=True)
class Decision:
    """Something that is not usual: to whom the baton goes, or what goes wrong, and for how long."""

    kind: str
    value: str | float = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.value}".strip()


#: Decisions by the actor and the number of its point.
Decisions = dict[str, Decision]


class Chooser:
    """Nothing unusual happens: what stands in for it in a replay is in `given`."""

    def __init__(self, given: Mapping[str, Decision] | None = None) -> None:
        self.taken: Decisions = {}
        self._given: Mapping[str, Decision] = given or {}
        #: once it is set, nothing unusual happens any more
        self.is_calm = False

    def at(
        self, actor: str, point: int, phase: str, label: str, others: Callable[[], list[str]]
    ) -> Decision | None:
        """What happens at the point of an actor; None: it goes on."""
        if self.is_calm:
            return None
        place = f"{actor}/{point}/{phase}"
        decision = self._at(place, phase, label, others)
        if decision is not None:
            self.taken[place] = decision
        return decision

    def who(self, actor: str, point: int, ready: Sequence[str]) -> int:
        """Which of those that are ready goes on where an actor stops."""
        if self.is_calm or len(ready) == 1:
            return 0
        place = f"{actor}/{point}/who"
        index = self._who(place, ready)
        if index:
            self.taken[place] = Decision("switch", ready[index])
        return index

    def _at(
        self, place: str, _phase: str, _label: str, _others: Callable[[], list[str]]
    ) -> Decision | None:
        return self._given.get(place)

    def _who(self, place: str, ready: Sequence[str]) -> int:
        wanted = self._given.get(place)
        return ready.index(wanted.value) if wanted and wanted.value in ready else 0


@dataclass
class Temper:
    """How wild a schedule is; each has its own, so that all kinds of them come up."""

    switch: float
    fault: float
    kinds: frozenset[str]
    most: int
    counts: Counter[str] = field(default_factory=Counter)

    @classmethod
    def drawn(cls, draw: random.Random) -> Temper:
        """Groce et al., "Swarm Testing" (ISSTA 2012): leave out some kinds each time."""
        every = sorted({kind for kinds in FAULTS.values() for kind in kinds})
        kinds = frozenset(kind for kind in every if draw.random() < 0.5)
        return cls(
            switch=draw.choice((0.03, 0.1, 0.3, 0.5)),
            fault=draw.choice((0.01, 0.03, 0.08)),
            kinds=kinds,
            most=draw.choice((0, 0, 1, 2, 4, 8)),
        )

    def allows(self, kind: str) -> bool:
        """Whether another one of a kind may happen."""
        return self.counts.total() < self.most and self.counts[kind] < HEAVY.get(kind, self.most)


class RandomChooser(Chooser):
    """A schedule of its own for each seed."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._draw = random.Random(f"{seed}:schedule")
        self._temper = Temper.drawn(self._draw)

    def _at(
        self, place: str, phase: str, label: str, others: Callable[[], list[str]]
    ) -> Decision | None:
        luck = self._draw.random() / (FEW if phase == "message" else 1.0)
        if luck < self._temper.fault:
            return self._fault(phase, place)
        if phase == "before" and luck < self._temper.fault + self._temper.switch:
            names = others()
            return Decision("switch", self._draw.choice(names)) if names else None
        return None

    def _who(self, place: str, ready: Sequence[str]) -> int:
        return self._draw.randrange(len(ready))

    def _fault(self, phase: str, place: str) -> Decision | None:
        kinds = [
            kind
            for kind in FAULTS[phase]
            if kind in self._temper.kinds and self._temper.allows(kind)
        ]
        if not kinds:
            return None
        kind = self._draw.choice(kinds)
        self._temper.counts[kind] += 1
        return Decision(kind, self._draw.choice(SPANS) if kind in WITH_SPAN else "")
