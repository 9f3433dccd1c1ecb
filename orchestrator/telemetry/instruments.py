"""Counters, gauges and histograms of `prometheus_client`, made when they are first used.

Nothing is imported and nothing is counted until `switch_on` was called, so programs that nobody
scrapes pay one comparison for each event.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from typing import Any, Literal

Kind = Literal["counter", "gauge", "histogram"]

#: Names the folder that processes of one service share to be scraped as one.
MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"
#: Label values told apart; what is beyond is told together, as this.
MOST_VALUES = 50
OTHER = "other"
#: Seconds. From a script of the gate to an agent that takes an hour.
LATENCIES = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
    300.0, 1_800.0, 3_600.0,
)  # fmt: skip


class Busiest:
    """The busiest values of a label: the only ones that are told apart.

    Candidates are counted by a space-saving sketch (Metwally, Agrawal, El Abbadi 2005): a newcomer
    takes the place of the least busy one, and its count, which is remembered as not its own.
    """

    def __init__(self, most: int = MOST_VALUES) -> None:
        self._most = most
        #: of those told apart, how often each was seen
        self._named: dict[str, int] = {}
        #: of as many others, the same and how much of it may be somebody else's
        self._others: dict[str, tuple[int, int]] = {}
        self._lock = threading.Lock()

    def name_of(self, value: str) -> tuple[str, str | None]:
        """What to call it, and whom it has displaced."""
        with self._lock:
            if value in self._named or len(self._named) < self._most:
                self._named[value] = self._named.get(value, 0) + 1
                return value, None
            seen = self._count(value)
            least = min(self._named, key=self._named.__getitem__)
            # Twice as busy, or the two would change places for ever. Files that several processes
            # share keep what they have.
            if seen <= 2 * self._named[least] or MULTIPROCESS in os.environ:
                return OTHER, None
            del self._named[least], self._others[value]
            self._named[value] = seen
            return value, least

    def _count(self, value: str) -> int:
        """How often it was seen, at least."""
        if value in self._others:
            count, borrowed = self._others[value]
        elif len(self._others) < self._most:
            count = borrowed = 0
        else:
            least = min(self._others, key=lambda name: self._others[name][0])
            count = borrowed = self._others.pop(least)[0]
        self._others[value] = (count + 1, borrowed)
        return count + 1 - borrowed


class Metric:
    """One row of the table of metrics.

    Label values are given by position, in the order of `labels`. Those of labels that
    outsiders choose (`bounded`) are told apart only while they are among the busiest.
    """

    def __init__(
        self,
        name: str,
        kind: Kind,
        meaning: str,
        labels: Sequence[str] = (),
        *,
        unit: str = "",
        bounded: Sequence[str] = ("tenant", "agent", "resource", "pool"),
        buckets: Sequence[float] = LATENCIES,
    ) -> None:
        self.name, self.kind, self.meaning = name, kind, meaning
        self.labels, self.unit, self.buckets = tuple(labels), unit, tuple(buckets)
        self._bounded = {
            position: Busiest() for position, label in enumerate(labels) if label in bounded
        }
        self._children: dict[tuple[str, ...], Any] = {}
        self._instrument: Any = None
        self._lock = threading.Lock()

    def add(self, *values: str, amount: float = 1.0) -> None:
        """Count something."""
        if _switch.is_on:
            self._child(values).inc(amount)

    def observe(self, value: float, *values: str) -> None:
        """One more value of a distribution."""
        if _switch.is_on:
            self._child(values).observe(value)

    def set(self, value: float, *values: str) -> None:
        """What is so now."""
        if _switch.is_on:
            self._child(values).set(value)

    def read_by(self, read: Callable[[], float]) -> None:
        """A gauge without labels that is read when somebody asks."""
        if _switch.is_on:
            self._child(()).set_function(read)

    def _child(self, values: tuple[str, ...]) -> Any:
        if self._bounded:
            values = self._told_apart(values)
        child = self._children.get(values)
        return child if child is not None else self._new_child(values)

    def _told_apart(self, values: tuple[str, ...]) -> tuple[str, ...]:
        named = list(values)
        for position, busiest in self._bounded.items():
            named[position], displaced = busiest.name_of(values[position])
            if displaced is not None:
                self._forget(position, displaced)
        return tuple(named)

    def _forget(self, position: int, value: str) -> None:
        with self._lock:
            for key in [key for key in self._children if key[position] == value]:
                del self._children[key]
                self._instrument.remove(*key)

    def _new_child(self, values: tuple[str, ...]) -> Any:
        with self._lock:
            if self._instrument is None:
                self._instrument = _switch.make(self)
            child = self._instrument.labels(*values) if self.labels else self._instrument
            self._children[values] = child
            return child


class _Switch:
    """Whether this process counts, and the library that it counts with."""

    def __init__(self) -> None:
        self.is_on = False

    def make(self, metric: Metric) -> Any:
        import prometheus_client  # takes longer than most commands of the CLI

        if metric.kind == "histogram":
            return prometheus_client.Histogram(
                metric.name, metric.meaning, metric.labels, buckets=metric.buckets
            )
        if metric.kind == "gauge":
            # Of several processes that share a folder (see MULTIPROCESS), those that live.
            return prometheus_client.Gauge(
                metric.name, metric.meaning, metric.labels, multiprocess_mode="livesum"
            )
        return prometheus_client.Counter(metric.name, metric.meaning, metric.labels)


_switch = _Switch()


def switch_on() -> None:
    """Count from now on, in the registry that `prometheus_client` gives to everybody."""
    _switch.is_on = True


def is_on() -> bool:
    """Whether this process counts."""
    return _switch.is_on
