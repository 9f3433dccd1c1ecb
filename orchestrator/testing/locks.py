"""Named locks, one holder at a time and the others in the order in which they asked."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

from orchestrator.engine.running import HeldLock

#: An instance, and the place in its journal that asks.
Who = tuple[str, str]


@dataclass
class _Lock:
    #: who holds it is the first
    line: list[Who] = field(default_factory=list)
    token: int = 0


class Locks:
    """The locks of all tenants, by tenant and name."""

    def __init__(self) -> None:
        self._locks: dict[tuple[str, str], _Lock] = {}
        self._tokens = itertools.count(1)

    def take(self, tenant: str, name: str, who: Who) -> HeldLock | None:
        """The lock, or a place in line for it."""
        lock = self._locks.setdefault((tenant, name), _Lock())
        if who not in lock.line:
            lock.line.append(who)
        if lock.line[0] != who:
            return None
        lock.token = lock.token or next(self._tokens)
        return HeldLock(name, who[1], lock.token)

    def free(self, tenant: str, name: str, who: Who) -> None:
        """Let go of it, or of the place in line."""
        lock = self._locks[tenant, name]
        if lock.line and lock.line[0] == who:
            lock.token = 0
        lock.line = [one for one in lock.line if one != who]

    def free_all(self, instance_id: str) -> None:
        """Let go of all that an instance holds or is in line for."""
        for (tenant, name), lock in self._locks.items():
            for who in [one for one in lock.line if one[0] == instance_id]:
                self.free(tenant, name, who)

    def holder(self, tenant: str, name: str) -> str | None:
        """The id of whoever is first in line."""
        lock = self._locks.get((tenant, name))
        return lock.line[0][0] if lock and lock.line else None
