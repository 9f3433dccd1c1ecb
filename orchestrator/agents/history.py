"""What an instance has done before, handed out again as its function asks for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from orchestrator.domain.errors import HistoryTooLong, InvalidRequest, NonDeterministicAgent
from orchestrator.domain.journal import SPAWN, Entry, Rewind

#: The step whose own function runs: that is one operation, and holds no others.
_STEP: ContextVar[str | None] = ContextVar("step", default=None)


class Branch:
    """A task of an agent that does several things at once.

    Tasks are told apart by who made them, and as which of its tasks: the same in every run,
    whichever of them is faster.
    """

    def __init__(self, label: str = "", root: Branch | None = None) -> None:
        self.label = label
        self._root = root or self
        self._split = 0

    def split(self) -> Branch:
        """The next task that this one makes."""
        self._split += 1
        head = f"{self.label}." if self.label else ""
        return Branch(f"{head}{self._split}", self._root)

    @property
    def is_one_of_many(self) -> bool:
        """Whether there ever was another task beside the first."""
        return self._root._split > 0


#: The task whose code runs; None where there can be only one.
BRANCH: ContextVar[Branch | None] = ContextVar("branch", default=None)

#: Operations that need no record of their own, but hold their place beside those of other tasks.
_UNRECORDED = frozenset({"wait", "sleep", "random", "uuid", "lock"})


@dataclass(frozen=True)
class Place:
    """One operation of this run, and what an earlier run recorded of it."""

    position: int
    kind: str
    name: str
    recorded: Entry | None

    def entry(self, value: object = None, *, text: str | None = None) -> Entry:
        """What to record of it."""
        return Entry(self.position, self.kind, self.name, value, text=text)

    def failure(self, error: dict[str, Any]) -> Entry:
        """What to record of it when it failed."""
        return Entry(self.position, self.kind, self.name, error=error)


class History:
    """The journal of one run: positions are counted, what is recorded is given back.

    `load` answers what earlier runs have recorded and is called at the first operation, if there
    was an earlier run at all; `write` adds to it, and raises when this run may not any more.
    """

    def __init__(
        self,
        instance_id: str,
        load: Callable[[], Iterable[Entry]] | None,
        write: Callable[[Sequence[Entry]], None],
        limit: int,
    ) -> None:
        self._instance_id = instance_id
        self._load = load
        self._write = write
        self._limit = limit
        self._next = 0
        self._recorded: dict[int, Entry] = {}
        self._unwritten: list[Entry] = []
        self._raised: list[tuple[BaseException, Rewind]] = []
        self._first_seen: dict[str, int] = {}

    @property
    def position(self) -> int:
        """That of the next operation."""
        return self._next

    def next(self, kind: str, name: str = "") -> Place:
        """The next operation. Raises `NonDeterministicAgent` where another one is recorded."""
        step = _STEP.get()
        if step is not None:
            raise InvalidRequest(
                "INSIDE_STEP",
                f"{_label(kind, name)} cannot be asked for inside of step {step!r}: a step is one "
                "action that is recorded as a whole. Ask for it before or after the step.",
            )
        if self._next >= self._limit:
            raise HistoryTooLong(self._instance_id, self._limit)
        self._read()
        position, branch = self._next, BRANCH.get()
        if branch is not None and branch.label and kind != SPAWN:
            # So that no task is given what another one did.
            name = f"{name}@{branch.label}"
        recorded = self._recorded.get(position)
        if recorded is not None and (recorded.kind, recorded.name) != (kind, name):
            raise self.differs(position, recorded.label, _label(kind, name))
        self._next += 1
        place = Place(position, kind, name, recorded)
        if recorded is None and branch and branch.is_one_of_many and kind in _UNRECORDED:
            self.later(place.entry({}))
        return place

    def _read(self) -> None:
        if self._load is not None:
            self._recorded, self._load = {one.position: one for one in self._load()}, None

    def give_back(self, place: Place) -> None:
        """It did not take place after all, and may be asked for again at the same position."""
        if place.position == self._next - 1:
            self._next -= 1

    def differs(self, position: int, expected: str, found: str) -> NonDeterministicAgent:
        """The error for a program that is not the one that made the journal."""
        return NonDeterministicAgent(self._instance_id, position, expected, found)

    def check_end(self) -> None:
        """The function returns; raises `NonDeterministicAgent` if more is recorded than it did."""
        self._read()
        rest = [one for position, one in self._recorded.items() if position >= self._next]
        if rest:
            first = min(rest, key=lambda one: one.position)
            raise self.differs(first.position, first.label, "its end")

    # --- writing ----------------------------------------------------------------------------

    def later(self, entry: Entry) -> None:
        """Record this with whatever is recorded next: before that, nobody can have seen it."""
        self._unwritten.append(entry)

    def write(self, *entries: Entry) -> None:
        """Record these, and what was left for later."""
        everything = self.unwritten(*entries)
        if everything:
            self._write(everything)
            self._unwritten.clear()

    def unwritten(self, *entries: Entry) -> list[Entry]:
        """These and what was left for later, for whoever writes them together with more."""
        # Of two at the same place the later one stands.
        return list({one.position: one for one in (*self._unwritten, *entries)}.values())

    def were_written(self) -> None:
        """All of that has been written, together with more."""
        self._unwritten.clear()

    # --- failing ----------------------------------------------------------------------------

    def blame(self, error: BaseException, position: int, children: Sequence[str] = ()) -> None:
        """Remember where an error came from that the function may fail with.

        `children` are those whose failure it tells of. They are done again from where the
        function was first told of one of them: what it did from there on followed from it.
        """
        for child in children:
            self._first_seen.setdefault(child, position)
        first = min([position, *(self._first_seen[child] for child in children)])
        self._raised.append((error, Rewind(first, tuple(children))))

    def rewind_for(self, error: BaseException) -> Rewind | None:
        """What has to be done again after a failure with this error; None: nothing recorded.

        Looked for along the chain of causes, so that an error an agent made of another counts.
        """
        at: BaseException | None = error
        seen: set[int] = set()
        while at is not None and id(at) not in seen:
            seen.add(id(at))
            for raised, rewind in reversed(self._raised):
                if raised is at:
                    return rewind
            at = at.__cause__ or at.__context__
        return None


@contextmanager
def inside_step(name: str) -> Iterator[None]:
    """While inside, nothing but the step's own code happens."""
    token = _STEP.set(name)
    try:
        yield
    finally:
        _STEP.reset(token)


def is_inside_step() -> bool:
    """Whether the code that asks runs inside of a step."""
    return _STEP.get() is not None


def _label(kind: str, name: str) -> str:
    return Entry(0, kind, name).label
