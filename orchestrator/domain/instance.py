"""The values that travel between the floors. All are frozen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from orchestrator.domain.budget import Budget
from orchestrator.domain.lifecycle import State
from orchestrator.domain.priority import Priority
from orchestrator.domain.retry import RetryPolicy
from orchestrator.domain.waits import Dependencies, Wait

#: Seconds; an attempt that takes longer has surely hung.
LONGEST_TIMEOUT = 30 * 86_400.0
#: Seconds or tokens that a spawn may say it takes.
HIGHEST_COST = 1e9


@dataclass(frozen=True)
class AgentSpec:
    """What a service has to know of an agent to spawn it; workers record it at their start."""

    name: str
    #: the pool whose workers run it
    pool: str = "default"
    #: seconds an attempt may take; None means the configured default
    timeout: float | None = None
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    #: names of the resources it uses
    resources: tuple[str, ...] = ()
    #: argument names, those that must be given, and whether others are taken too
    parameters: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    takes_any: bool = False
    #: whether something more urgent may displace it
    preemptible: bool = True
    #: seconds an attempt may show no sign of progress; None: as long as its timeout lets it
    progress_timeout: float | None = None


@dataclass(frozen=True)
class SpawnRequest:
    """One wished-for instance, as a caller writes it."""

    agent: str
    args: Mapping[str, Any] = field(default_factory=dict)
    #: the session it belongs to; None opens a new one named after the instance
    session: str | None = None
    tenant: str = "default"
    priority: str | Priority = Priority.NORMAL
    #: a second spawn of a tenant with the same key returns the first instance
    idempotency_key: str | None = None
    #: seconds an attempt may take; None means the agent's own
    timeout: float | None = None
    #: what to do when a limit is met: `queue` or `refuse`
    on_limit: str = "queue"
    #: another pool than the agent's own
    pool: str | None = None
    #: what it may take, in the unit of the fair queue; None: what its agent took before
    cost: float | None = None
    #: it is not to start before this time (aware), or not before so many seconds from now
    not_before: datetime | float | None = None
    #: seconds after which it fails if it has not started by then
    expires_after: float | None = None
    #: what it and everything below it may use
    budget: Budget | None = None
    #: it starts once all of these have ended: ids, or requests of the same `spawn_many`
    after: Sequence[str | SpawnRequest] = ()
    #: what it does when one of them ended without a result: `fail` or `run`
    on_failure: str = "fail"
    #: whether it lives on whatever becomes of its parent
    detached: bool = False
    #: what the end of its parent does to it: `terminate` or `detach`
    on_parent_end: str = "terminate"
    #: whether something more urgent may displace it; None means as its agent
    preemptible: bool | None = None
    #: seconds an attempt may show no sign of progress; None means the agent's own
    progress_timeout: float | None = None


@dataclass(frozen=True)
class Parent:
    """The running attempt that spawns, and where in its journal this spawn stands."""

    id: str
    attempt: int
    session: str
    tenant: str
    root_id: str
    depth: int
    #: its position in the journal of the parent
    position: int


@dataclass(frozen=True)
class NewInstance:
    """A spawn that was checked and is about to be recorded."""

    id: str
    agent: str
    session: str
    tenant: str
    pool: str
    priority: Priority
    depth: int
    root_id: str
    #: the arguments as JSON text
    args: str
    timeout_seconds: float
    retry: RetryPolicy
    parent: Parent | None = None
    idempotency_key: str | None = None
    not_before: datetime | None = None
    expires_at: datetime | None = None
    cost: float | None = None
    budget: Budget | None = None
    depends_on: Dependencies | None = None
    detached: bool = False
    on_parent_end: str = "terminate"
    preemptible: bool = True
    retry_of: str | None = None
    progress_timeout: float | None = None


@dataclass(frozen=True)
class Instance:
    """One instance as PostgreSQL holds it. Times are aware and in UTC."""

    id: str
    agent: str
    session: str
    tenant: str
    pool: str
    priority: Priority
    parent_id: str | None
    root_id: str
    depth: int
    state: State
    reason: str | None
    #: the fencing number: how often it was dispatched and begun
    attempt: int
    #: how many attempts have failed
    failures: int
    timeout_seconds: float
    retry: RetryPolicy
    args: dict[str, Any]
    result: Any
    error: dict[str, Any] | None
    #: the worker process that began it last
    worker: str | None
    #: it is queued, but not to start before this time
    not_before: datetime | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    #: it fails when it has not started by then
    expires_at: datetime | None = None
    #: what it may take, in the unit of the fair queue, if the one who spawned it said so
    cost: float | None = None
    #: what it and everything below it may use
    budget: Budget | None = None
    #: what it waits for while it is waiting
    wait: Wait | None = None
    #: what has to end before it may start
    depends_on: Dependencies | None = None
    #: how often it began anew with an empty journal
    history: int = 0
    #: whether its parent went back to before its spawn, and has another in its place
    superseded: bool = False
    detached: bool = False
    on_parent_end: str = "terminate"
    preemptible: bool = True
    #: what it told of its progress: fraction, message, at, attempt
    progress: dict[str, Any] | None = None
    #: since when it is kept from running
    paused_at: datetime | None = None
    #: the ended instance whose work it repeats
    retry_of: str | None = None
    #: seconds an attempt may show no sign of progress
    progress_timeout: float | None = None
    #: the server's time when this attempt began, for whoever counts on from there
    clock: datetime | None = field(default=None, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """The instance as JSON."""
        found = asdict(self) | {
            "wait": None if self.wait is None else self.wait.to_dict(),
            "depends_on": None if self.depends_on is None else self.depends_on.to_dict(),
            "paused_at": _text(self.paused_at),
            "priority": self.priority.label,
            "not_before": _text(self.not_before),
            "expires_at": _text(self.expires_at),
            "budget": None if self.budget is None else self.budget.to_dict(),
            "created_at": _text(self.created_at),
            "started_at": _text(self.started_at),
            "ended_at": _text(self.ended_at),
        }
        del found["clock"]
        return found


@dataclass(frozen=True)
class Event:
    """One line of the audit trail."""

    sequence: int
    instance_id: str
    session: str
    tenant: str
    agent: str
    from_state: State | None
    to_state: State
    reason: str | None
    attempt: int
    worker: str | None
    at: datetime
    #: `state` for a change of state or attempt; `detail` tells of other kinds
    kind: str = "state"
    detail: dict[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """The event as JSON."""
        return asdict(self) | {"at": _text(self.at)}


@dataclass(frozen=True)
class TreeNode:
    """An instance and what it spawned, oldest child first."""

    instance: Instance
    children: tuple[TreeNode, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The tree as nested JSON."""
        return self.instance.to_dict() | {"children": [child.to_dict() for child in self.children]}


def _text(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()
