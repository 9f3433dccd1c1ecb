"""The whole backend in numbers, read whenever Prometheus asks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from orchestrator.engine import overview
from orchestrator.engine.deps import Deps
from orchestrator.telemetry.metrics import CLUSTER, OLDEST, STALLED, UP

#: Seconds that something may be ready and not begin before `/health` says so: beside others that
#: run, and in a pool where nothing does.
LONGEST_WAIT, LONGEST_STALL = 600.0, 60.0


class Whole:
    """What gate and PostgreSQL hold."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps

    @property
    def registry(self) -> CollectorRegistry:
        """What a server of metrics is given."""
        registry = CollectorRegistry()
        registry.register(self)
        return registry

    def describe(self) -> Iterator[Metric]:
        """The families without their values: to be registered must not need a server."""
        return map(_family, CLUSTER)

    def collect(self) -> Iterator[Metric]:
        """One family a metric."""
        families = {one: _family(one) for one in CLUSTER}
        for reading in overview.read(self._deps):
            families[reading.metric].add_metric(reading.labels, reading.value)
        yield from families.values()

    def health(self) -> tuple[bool, dict[str, Any]]:
        """Whether both servers answer and what is ready to run begins."""
        readings = overview.read(self._deps)
        down = [one.labels[0] for one in readings if one.metric is UP and not one.value]
        oldest = {one.labels[0]: one.value for one in readings if one.metric is OLDEST}
        stalled = {one.labels[0] for one in readings if one.metric is STALLED and one.value}
        stuck = [
            pool
            for pool, seconds in oldest.items()
            if seconds > (LONGEST_STALL if pool in stalled else LONGEST_WAIT)
        ]
        ok = not stuck and not down
        return ok, {"ok": ok, "down": down, "stuck": stuck, "oldest_seconds": oldest}


def _family(one: Any) -> Any:
    make = CounterMetricFamily if one.kind == "counter" else GaugeMetricFamily
    return make(one.name, one.meaning, labels=one.labels)
