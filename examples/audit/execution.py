"""What happened to the instances of one audit, taken from the tree and the audit trail."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePath
from typing import Any

from examples.audit.measures import Interval
from orchestrator import Event, Instance, State, TreeNode

EventsOf = Callable[[str], Sequence[Event]]


@dataclass(frozen=True, slots=True)
class Execution:
    """One instance. Times are in seconds since the first instance of the audit was created."""

    id: str
    agent: str
    #: What it worked on, for people.
    label: str
    state: str
    reason: str | None
    #: How many attempts failed before.
    failures: int
    worker: str | None
    created: float
    started: float | None
    ended: float | None
    #: When it ran: without the times in which it waited for children and held no slot.
    busy: tuple[Interval, ...]
    children: tuple[Execution, ...] = ()

    @property
    def wait(self) -> float | None:
        """Seconds from its creation to its first start, waiting for a slot included."""
        return None if self.started is None else self.started - self.created

    @property
    def worked(self) -> float:
        """Seconds in which it ran."""
        return sum(end - start for start, end in self.busy)

    @property
    def lasted(self) -> float | None:
        """Seconds from its first start to its end, waiting for children included."""
        return None if self.started is None or self.ended is None else self.ended - self.started


def executions(tree: Sequence[TreeNode], events_of: EventsOf) -> list[Execution]:
    """The whole tree as executions, with the same shape.

    `events_of` gives the audit trail of one instance; it is asked only about those that may
    have run in several pieces.
    """
    origin = min((node.instance.created_at for node in walk(tree)), default=None)
    return [_execution(node, origin, events_of) for node in tree] if origin else []


def walk(tree: Iterable[TreeNode]) -> Iterator[TreeNode]:
    """All nodes, parents before their children."""
    for node in tree:
        yield node
        yield from walk(node.children)


def flat(tree: Iterable[Execution]) -> Iterator[Execution]:
    """All executions, parents before their children."""
    for one in tree:
        yield one
        yield from flat(one.children)


def _execution(node: TreeNode, origin: datetime, events_of: EventsOf) -> Execution:
    def since(moment: datetime | None) -> float | None:
        return None if moment is None else (moment - origin).total_seconds()

    one = node.instance
    started, ended = since(one.started_at), since(one.ended_at)
    in_pieces = bool(node.children) or one.attempt > 1
    if in_pieces:
        busy = running_times([((e.at - origin).total_seconds(), e) for e in events_of(one.id)])
    else:
        busy = [(started, ended)] if started is not None and ended is not None else []
    return Execution(
        id=one.id,
        agent=one.agent,
        label=label(one.args),
        state=one.state.value,
        reason=one.reason,
        failures=one.failures,
        worker=one.worker,
        created=(one.created_at - origin).total_seconds(),
        started=started,
        ended=ended,
        busy=tuple(busy),
        children=tuple(_execution(child, origin, events_of) for child in node.children),
    )


def running_times(events: Iterable[tuple[float, Event]]) -> list[Interval]:
    """The intervals between entering the state `running` and leaving it."""
    found: list[Interval] = []
    since: float | None = None
    for moment, event in events:
        if since is not None:
            found.append((since, moment))
        since = moment if event.to_state is State.RUNNING else None
    return found


def label(args: dict[str, Any]) -> str:
    """What an agent of the audit works on, from its arguments."""
    if paths := args.get("paths"):
        more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
        return f"{paths[0]}{more}"
    if folder := args.get("folder"):
        return "./" if folder == "." else f"{folder}/"
    return PurePath(str(args.get("source", ""))).name


def state_counts(instances: Iterable[Execution | Instance]) -> dict[str, int]:
    """Number of instances in each state, in the order in which the states are met."""
    return dict(Counter(str(one.state) for one in instances))
