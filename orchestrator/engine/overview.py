"""overview: the whole backend in numbers, as it is now; for whoever scrapes it.

Costs one look at the live instances of the gate and two queries. Who sees so many tenants that they
cannot be told apart is told the busiest, and the others together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from orchestrator.domain.errors import Unavailable
from orchestrator.domain.queue import QueueRow
from orchestrator.engine import survey
from orchestrator.engine.deps import Deps
from orchestrator.telemetry import metrics
from orchestrator.telemetry.instruments import MOST_VALUES, OTHER, Metric

#: As numbers, so that an alert can compare them.
BREAKER_STATES = {"closed": 0.0, "half_open": 1.0, "open": 2.0}
PLACES = ("queued", "delayed", "running", "waiting", "paused")


@dataclass(frozen=True)
class Reading:
    """One number of a metric."""

    metric: Metric
    labels: tuple[str, ...]
    value: float


def read(deps: Deps) -> list[Reading]:
    """All numbers of `metrics.CLUSTER`; without those of a server that does not answer."""
    found: list[Reading] = []
    for server, parts in _PARTS.items():
        is_up = 1.0
        try:
            found += [reading for part in parts for reading in part(deps)]
        except Unavailable:
            is_up = 0.0
        found.append(Reading(metrics.UP, (server,), is_up))
    return found


def _queues(deps: Deps) -> Iterator[Reading]:
    state = survey.queue_state(deps)
    processes = Counter(pool for offer in deps.gate.workers().values() for pool in offer)
    for row in state.pools:
        yield from _places(metrics.INSTANCES, row)
        yield Reading(metrics.WORKERS, (row.name,), processes[row.name])
        yield Reading(metrics.SLOTS, (row.name, "offered"), row.offered or 0)
        if row.limit is not None:
            yield Reading(metrics.SLOTS, (row.name, "limit"), row.limit)
        yield Reading(metrics.STALLED, (row.name,), float(row.queued > 0 and row.running == 0))
    by_size = sorted(state.tenants, key=_size, reverse=True)
    for row in by_size[:MOST_VALUES]:
        yield from _places(metrics.TENANT_INSTANCES, row)
    if rest := by_size[MOST_VALUES:]:
        sums = {place: sum(getattr(row, place) for row in rest) for place in PLACES}
        yield from _places(metrics.TENANT_INSTANCES, QueueRow(OTHER, **sums))


def _size(row: QueueRow) -> int:
    return sum(getattr(row, place) for place in PLACES)


def _places(metric: Metric, row: QueueRow) -> Iterator[Reading]:
    for place in PLACES:
        yield Reading(metric, (row.name, place), getattr(row, place))


def _resources(deps: Deps) -> Iterator[Reading]:
    for one in deps.gate.breakers():
        who = (one.resource, one.tenant or "")
        yield Reading(metrics.BREAKERS, who, BREAKER_STATES[one.state])
        yield Reading(metrics.RESOURCE_CALLS, (*who, "calls"), one.calls)
        yield Reading(metrics.RESOURCE_CALLS, (*who, "waiting"), one.waiting)
        for bucket, level in one.levels.items():
            yield Reading(metrics.BUCKETS, (*who, bucket), level)


def _refusals(deps: Deps) -> Iterator[Reading]:
    for code, count in deps.gate.refusals().items():
        yield Reading(metrics.REFUSALS, (code,), count)


def _oldest(deps: Deps) -> Iterator[Reading]:
    for pool, seconds in deps.store.oldest_ready().items():
        yield Reading(metrics.OLDEST, (pool,), seconds)


def _housekeeping(deps: Deps) -> Iterator[Reading]:
    for one in deps.store.housekeeping.jobs():
        yield Reading(metrics.HOUSEKEEPING_AGE, (one.job,), one.age / one.period)
        for action, count in one.totals.items():
            yield Reading(metrics.HOUSEKEEPING_DONE, (one.job, action), count)


_PARTS: dict[str, Sequence[Callable[[Deps], Iterator[Reading]]]] = {
    "redis": (_queues, _resources, _refusals),
    "postgresql": (_oldest, _housekeeping),
}
