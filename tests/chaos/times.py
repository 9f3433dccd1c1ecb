"""How long it took to notice a fault and to go on after it, by the audit trail."""

from __future__ import annotations

import bisect
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.chaos.inflict import Suffered
from tests.rules.evidence import Row

#: What says that an attempt was found to be lost.
NOTICED = frozenset({"LEASE_EXPIRED", "MESSAGE_LOST"})
#: Seconds after its end in which what is noticed is taken to be of this fault.
AFTERMATH = 15.0


@dataclass
class Times:
    """Seconds, of all faults of one kind."""

    #: how often it took place
    count: int = 0
    #: from what happened to a worker until an attempt of it was found lost, and until its
    #: instance ran again
    noticed: list[float] = field(default_factory=list)
    again: list[float] = field(default_factory=list)
    #: from the end of the fault until the next attempt of anybody began
    going_on: list[float] = field(default_factory=list)


def measure(
    suffered: Iterable[Suffered],
    events: Sequence[Row],
    name_of: Callable[[str, float], str],
) -> dict[str, Times]:
    """The times of each kind of fault.

    `name_of` is the worker that a victim was at a time, as the trail knows it; empty if unknown.
    """
    begun = [event["at"].timestamp() for event in events if event["to_state"] == "running"]
    by_worker = _losses(events)
    found: defaultdict[str, Times] = defaultdict(Times)
    for one in suffered:
        times = found[one.fault.kind]
        times.count += 1
        place = bisect.bisect_left(begun, one.over)
        if place < len(begun):
            times.going_on.append(begun[place] - one.over)
        for lost, again in by_worker.get(name_of(one.fault.victim, one.began), ()):
            if one.began < lost < one.over + AFTERMATH:
                times.noticed.append(lost - one.began)
                times.again.append(again - one.began)
    return dict(found)


def _losses(events: Sequence[Row]) -> Mapping[str, Sequence[tuple[float, float]]]:
    """Of each worker the attempts that were found lost: when, and when the instance ran again."""
    found: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    running: dict[str, str] = {}
    lost: dict[str, tuple[str, float]] = {}
    for event in events:
        one, at = event["instance_id"], event["at"].timestamp()
        if event["to_state"] == "running":
            if one in lost:
                worker, when = lost.pop(one)
                found[worker].append((when, at))
            running[one] = event["worker"]
        elif event["reason"] in NOTICED and event["from_state"] == "running":
            lost[one] = (running.get(one, ""), at)
    return found


def quantiles(values: Sequence[float]) -> str:
    """p50 / p99 / max in seconds."""
    if not values:
        return "-"
    order = sorted(values)
    picked = [order[min(len(order) - 1, int(len(order) * share))] for share in (0.5, 0.99)]
    return " / ".join(f"{value:.1f}" for value in [*picked, order[-1]])
