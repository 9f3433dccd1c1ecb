"""What became of a pause or a resumption."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class PauseReport:
    """One pause or resumption."""

    #: what it was for, in its one form, as `agent:researcher`
    scope: str
    #: whether it is paused now
    is_paused: bool
    #: False: it was so before, and nothing was done
    changed: bool
    #: the ids of those that run and were asked to go back in line at their next call
    yielding: tuple[str, ...] = ()
    #: whether the gate holds it; if not, Redis is away and is told soon after its return
    in_force: bool = True

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON."""
        return asdict(self) | {"yielding": list(self.yielding)}
