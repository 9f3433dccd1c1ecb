"""The bounds that every spawn is held against."""

from __future__ import annotations

from dataclasses import dataclass, fields


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
    #: queued for one tenant
    tenant_queue: int = 10_000
    #: queued in all
    global_queue: int = 100_000

    def __post_init__(self) -> None:
        for field in fields(self):
            value, least = getattr(self, field.name), int(field.name != "max_depth")
            if value < least:
                raise ValueError(f"{field.name} is {value}; it must be at least {least}")
