"""Why an instance is not running: what holds it, who holds that, and when it may start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class Constraint:
    """One thing that holds an instance up."""

    #: `session`, `tenant`, `agent`, `pool`, `global`: a limit; `workers`: what live workers offer;
    #: `breaker`: a resource that its agent needs; `delay`: a time; `instance`, `lock`: what it
    #: waits for
    kind: str
    #: which one, as `acme/s1`, `researcher`, `anthropic/opus`; empty for `global`
    name: str = ""
    #: the bound and how much of it is in use
    limit: float | None = None
    used: int | None = None
    #: ids of instances that hold it, up to ten; what they give back, this one can get
    holders: Sequence[str] = ()
    #: when it ends by itself
    until: datetime | None = None


@dataclass(frozen=True)
class Explanation:
    """Where an instance is, and why."""

    id: str
    agent: str
    #: as `Instance.state`, but `dispatched` once it has been handed out
    state: str
    reason: str | None
    #: one sentence that says it all
    summary: str
    #: what holds it up now; what is told first was met first
    constraints: Sequence[Constraint] = ()
    #: its place among those of its session that wait in the same line, from 1, and how many
    position_in_flow: int | None = None
    flow_length: int | None = None
    #: its place among all of its pool that wait, about as they will be served, and how many
    position: int | None = None
    waiting: int | None = None
    #: when it starts if all goes on as in the last seconds; None where nothing is known
    expected_start: datetime | None = None

    def to_dict(self) -> dict[str, Any]:
        """The explanation as JSON."""
        return asdict(self) | {
            "constraints": [_to_dict(one) for one in self.constraints],
            "expected_start": _text(self.expected_start),
        }


def _to_dict(one: Constraint) -> dict[str, Any]:
    return asdict(one) | {"holders": list(one.holders), "until": _text(one.until)}


def _text(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()
