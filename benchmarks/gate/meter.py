"""What the server says it spent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import redis


@dataclass(frozen=True)
class Spent:
    """The server's work between two looks."""

    #: script calls, and the time they took in seconds
    calls: int
    script_seconds: float
    #: processor time of its main thread in seconds: scripts, and reading and answering too
    processor_seconds: float

    @property
    def microseconds_a_call(self) -> float:
        """Of a script, without what surrounds it."""
        return self.script_seconds * 1e6 / self.calls if self.calls else 0.0


def metered(client: redis.Redis, action: Callable[[], object]) -> Spent:
    """What the server spends while `action` runs, by its own account."""
    before = _look(client)
    action()
    after = _look(client)
    return Spent(
        calls=round(after[0] - before[0]),
        script_seconds=(after[1] - before[1]) / 1e6,
        processor_seconds=after[2] - before[2],
    )


def _look(client: redis.Redis) -> tuple[float, float, float]:
    stats = client.info("commandstats").get("cmdstat_evalsha", {})
    cpu = client.info("cpu")
    # Redis counts its main thread by itself; where it does not, there is no other worth a name.
    used = (
        cpu.get(f"used_cpu_{kind}_main_thread", cpu[f"used_cpu_{kind}"]) for kind in ("user", "sys")
    )
    return float(stats.get("calls", 0)), float(stats.get("usec", 0)), sum(map(float, used))
