"""Who waits for whom, as errors, events and commands name it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

#: Of a longer circle the middle is left out where people read it.
MOST_SHOWN = 12


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
