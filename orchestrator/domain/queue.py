"""What waits and runs now, and within which bounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class QueueRow:
    """One pool, line, tenant or session."""

    #: a line is named `pool/agent`, a session `tenant/session`
    name: str
    #: ready to run, but for a limit or a worker
    queued: int = 0
    #: not to start before a time
    delayed: int = 0
    #: holding a slot
    running: int = 0
    #: waiting for others, without a slot
    waiting: int = 0
    #: taken out of line until they are resumed
    paused: int = 0
    #: how many may run at once; None: no bound of its own
    limit: float | None = None
    #: the share of a tenant or session among others that wait
    weight: float | None = None
    #: what the live workers of a pool offer
    offered: int | None = None


@dataclass(frozen=True)
class QueueState:
    """The live state of the queue. Rows with most queued first; of sessions and tenants only
    those who have something here."""

    pools: Sequence[QueueRow]
    lines: Sequence[QueueRow]
    tenants: Sequence[QueueRow]
    sessions: Sequence[QueueRow]
    #: everything together
    total: QueueRow

    def to_dict(self) -> dict[str, Any]:
        """The state as JSON."""
        return asdict(self)
