"""Who waits for whom, as errors, events and commands name it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, Self

#: Of a longer circle the middle is left out where people read it.
MOST_SHOWN = 12


class WaitKind(StrEnum):
    """What an instance can wait for without a worker."""

    #: until others have ended
    ENDED = "ended"
    #: until a time has come
    TIMER = "timer"
    #: until a message has arrived
    MESSAGE = "message"
    #: until a signal of a name has arrived
    SIGNAL = "signal"
    #: until one of its requests has been answered
    REPLY = "reply"
    #: until a lock is its own
    LOCK = "lock"


@dataclass(frozen=True)
class KeptLock:
    """A lock that is held while its holder waits for something else."""

    name: str
    claim: str
    token: int


@dataclass(frozen=True)
class Wait:
    """What a suspended instance waits for; its row carries it, so that nothing else must know."""

    kind: WaitKind
    #: where in the journal the waiting operation stands
    position: int
    #: the wait's name at the gate, the same in every run of the instance
    claim: str = ""
    #: the ids of those whose end is waited for
    targets: tuple[str, ...] = ()
    #: how many of the targets have to end
    needs: int = 0
    #: the topic, signal or lock; of a reply, the id of the request
    name: str = ""
    #: it is over at this time in any case, by PostgreSQL's clock
    until: datetime | None = None
    #: what is held meanwhile
    locks: tuple[KeptLock, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"until": self.until.isoformat() if self.until else None}

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> Self:
        """The wait that `to_dict` wrote."""
        return cls(
            **value
            | {
                "kind": WaitKind(value["kind"]),
                "targets": tuple(value["targets"]),
                "until": datetime.fromisoformat(value["until"]) if value["until"] else None,
                "locks": tuple(KeptLock(**lock) for lock in value["locks"]),
            }
        )


@dataclass(frozen=True)
class Dependencies:
    """What has to end before an instance may start."""

    ids: tuple[str, ...]
    #: what it does when one of them ended without a result: `fail` with it, or `run` all the same
    on_failure: str = "fail"

    def to_dict(self) -> dict[str, Any]:
        return {"ids": list(self.ids), "on_failure": self.on_failure}

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> Self:
        """The dependencies that `to_dict` wrote."""
        return cls(tuple(value["ids"]), value["on_failure"])


@dataclass(frozen=True)
class WaitNode:
    """An instance that waits, or a lock that waits for its holder to let go of it."""

    #: the id of the instance, or the name of the lock
    id: str
    #: the name of the agent; None for a lock
    agent: str | None = None
    kind: Literal["instance", "lock"] = "instance"

    @property
    def label(self) -> str:
        """What a message calls it."""
        return f"lock {self.id}" if self.kind == "lock" else self.agent or self.id

    def to_dict(self) -> dict[str, str | None]:
        """The node as JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Stall:
    """A place where every slot is held by attempts that only wait, while others are in line."""

    #: `session`, `tenant`, `agent`, `pool`, `workers` (what those of a pool offer) or `global`
    scope: str
    #: which one; a session with its tenant, as `acme/s1`
    name: str
    limit: int
    #: how many are in line
    waiting: int
    #: one of those that hold the slots
    holder: str
    #: seconds since it was first seen
    seconds: float
    #: whether it has been seen only now
    is_new: bool = False

    def to_dict(self) -> dict[str, str | int | float]:
        """The stall as JSON."""
        fields = asdict(self)
        del fields["is_new"]
        return fields


def chain_of(cycle: Sequence[WaitNode]) -> str:
    """A circle in one line, as in `agent-B -> agent-C -> agent-B`."""
    labels = [node.label for node in (*cycle, cycle[0])]
    if len(labels) > MOST_SHOWN:
        half = MOST_SHOWN // 2
        left_out = f"({len(labels) - 2 * half} more)"
        labels = [*labels[:half], left_out, *labels[-half:]]
    return " -> ".join(labels)


def from_oldest(cycle: Sequence[WaitNode]) -> tuple[WaitNode, ...]:
    """The same circle told from its oldest instance on (ids grow with time).

    So it reads the same, whoever closed it.
    """
    oldest = min(
        (position for position, node in enumerate(cycle) if node.kind == "instance"),
        key=lambda position: cycle[position].id,
        default=0,
    )
    return (*cycle[oldest:], *cycle[:oldest])
