"""The bounds that every spawn is held against."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any

from orchestrator.domain.scope import Scope


@dataclass(frozen=True)
class Limits:
    """How much may run and wait at once. All counts are of instances."""

    #: levels below the root; a root is at depth 0
    max_depth: int = 5
    #: running in one session, counting the whole tree
    session_concurrency: int = 10
    #: running for one tenant
    tenant_concurrency: int = 100
    #: running in one pool, if the workers of the pool offer as much
    pool_concurrency: int = 1_000
    #: running in all
    global_concurrency: int = 5_000
    #: queued in one session
    session_queue: int = 10_000
    #: queued for one tenant
    tenant_queue: int = 10_000
    #: queued in all
    global_queue: int = 100_000

    def __post_init__(self) -> None:
        for field in fields(self):
            value, least = getattr(self, field.name), int(field.name != "max_depth")
            if value < least:
                raise ValueError(f"{field.name} is {value}; it must be at least {least}")


@dataclass(frozen=True)
class RecordedLimit:
    """The newest that operators have said of one scope."""

    scope: Scope
    #: None: what was set before was taken back
    value: float | None
    version: int
    set_by: str
    set_at: datetime
    #: whether nothing may start there, whatever `value` is
    paused: bool = False


@dataclass(frozen=True)
class RecordedLimits:
    """All that operators have set, as of one version."""

    #: one of each scope
    rows: tuple[RecordedLimit, ...]

    @property
    def version(self) -> int:
        """The number of the newest change; 0 when there was none."""
        return max((one.version for one in self.rows), default=0)

    def in_force(self) -> dict[Scope, float]:
        """The bounds that hold now: the values that are set, and 0 for what is paused."""
        found = ((one.scope, 0.0 if one.paused else one.value) for one in self.rows)
        return {scope: value for scope, value in found if value is not None}

    def value_of(self, scope: Scope) -> float | None:
        """What is set for a scope, whether it is paused or not."""
        return next((one.value for one in self.rows if one.scope == scope), None)

    def paused(self) -> dict[Scope, RecordedLimit]:
        """The scopes that are paused."""
        return {one.scope: one for one in self.rows if one.paused}


@dataclass(frozen=True)
class LimitState:
    """One limit or weight, as it is now."""

    #: as `orchestrator limits set` takes it
    scope: str
    #: what the settings of the process that started last say; None: nothing
    setting: float | None
    #: what an operator has set instead; None: nothing
    operator: float | None
    #: what the gate holds every spawn against; None: no bound
    in_force: float | None
    #: how much of it is in use now; None where nothing is counted
    used: int | None
    #: of the default of many, `used` is what this one uses, which uses most
    busiest: str | None = None
    #: who set the operator's value and when
    set_by: str | None = None
    set_at: datetime | None = None
    #: whether it is paused: nothing may start, whatever the operator's value is
    paused: bool = False

    def to_dict(self) -> dict[str, Any]:
        """The limit as JSON."""
        return {
            "scope": self.scope,
            "setting": self.setting,
            "operator": self.operator,
            "in_force": self.in_force,
            "used": self.used,
            "busiest": self.busiest,
            "set_by": self.set_by,
            "set_at": None if self.set_at is None else self.set_at.isoformat(),
            "paused": self.paused,
        }


@dataclass(frozen=True)
class LimitChange:
    """What became of a change of a limit."""

    #: as the operator wrote it, in its one form
    scope: str
    #: what was set; None: what was set before is taken back
    value: float | None
    #: what an operator had set before; None: nothing
    before: float | None
    #: the number of the change: later ones have greater numbers
    version: int
    #: whether the gate holds it; if not, Redis is away and is told within seconds of its return
    in_force: bool

    def to_dict(self) -> dict[str, Any]:
        """The change as JSON."""
        return asdict(self)


@dataclass(frozen=True)
class LimitForecast:
    """What a change of a limit would do to those who run and wait now."""

    scope: str
    #: what holds now, and what was asked about
    in_force: float | None
    value: float
    #: how much is in use; of a default, by the one that uses most
    used: int
    #: how many wait that it is about
    waiting: int
    #: how many more of all that wait would start at once
    would_start: int
    #: how many run beyond it: so many have to end before anybody new starts
    would_drain: int

    def to_dict(self) -> dict[str, Any]:
        """The forecast as JSON."""
        return asdict(self)
