"""From samples to figures, ratios and aims."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.samples import Samples, Series, ratio

#: What the gate's verbs are compared with.
PING = "PING"


@dataclass(frozen=True)
class Line:
    """One line of a table: what was measured, and how it compares."""

    what: str
    series: Series
    #: what it is compared with, and how many times as long it takes
    ratios: tuple[tuple[str, float], ...] = ()
    #: None where one does not follow the other without a pause
    per_second: float | None = None

    @property
    def beside(self) -> str:
        """The comparisons in words. With PING it is usual to compare rates: 0.5 xPING."""
        return ", ".join(
            f"{1 / times:.2f} xPING" if other == PING else f"{times:.2f} x {other}"
            for other, times in self.ratios
        )


@dataclass(frozen=True)
class Aim:
    """What this system wants to reach, and where it stands."""

    what: str
    value: float
    bound: float
    unit: str

    @property
    def is_met(self) -> bool:
        """Whether the value is within the bound."""
        return self.value <= self.bound


@dataclass(frozen=True)
class Table:
    """Lines that belong together."""

    title: str
    lines: tuple[Line, ...]


def tables(samples: Samples) -> list[Table]:
    """All that is reported, in the order of an instance's life."""
    return [
        _spawns(samples),
        _verbs(samples),
        _starts(samples, "idle"),
        _starts(samples, "load"),
        _floods(samples),
    ]


def aims(samples: Samples) -> list[Aim]:
    """The aims, held against this run."""
    return [
        Aim("spawn, p99", samples["spawn"].percentile(0.99) * 1000, 10.0, "ms"),
        Aim("spawn, p50 over the floor", ratio(samples["spawn"], samples["floor"]), 2.0, "x"),
        Aim(
            "spawn to start, idle, p50 over bare Celery",
            ratio(samples["idle.ours"], samples["idle.bare"]),
            1.5,
            "x",
        ),
    ]


def _spawns(samples: Samples) -> Table:
    floor = samples["floor"]
    names = {
        "spawn": "spawn",
        "spawn_many": "spawn, in batches of 100",
        "publish": "bare Celery: apply_async",
    }
    lines = [
        Line("floor: commit", samples["commit"], per_second=samples["commit"].rate),
        Line("floor: Redis round trip", samples["ping"], per_second=samples["ping"].rate),
        Line("floor: both", floor, per_second=floor.rate),
    ]
    for name, what in names.items():
        series = samples[name]
        ratios = [("floor", ratio(series, floor))]
        if name != "publish":
            ratios.append(("bare Celery", ratio(series, samples["publish"])))
        lines.append(Line(what, series, tuple(ratios), series.rate))
    return Table("A call from one process, on an idle system", tuple(lines))


def _verbs(samples: Samples) -> Table:
    compared = {
        "check_in": "ping",
        "follow": "ping",
        "release": "ping",
        "record": "commit",
        "begin": "commit",
        "settle": "commit",
    }
    names = {"ping": PING, "commit": "commit"}
    lines = (
        Line(
            verb,
            samples[verb],
            ((names[other], ratio(samples[verb], samples[other])),),
            samples[verb].rate,
        )
        for verb, other in compared.items()
    )
    return Table(
        "The single verbs, one client: rate beside PING's, time beside a commit's", tuple(lines)
    )


_VARIANTS = {"ours": "this system", "bare": "bare Celery", "stock": "stock Celery"}


def _beside(samples: Samples, prefix: str, name: str) -> tuple[tuple[str, float], ...]:
    mine = samples[f"{prefix}.{name}"]
    others = [other for other in ("bare", "stock") if name == "ours"]
    return tuple((_VARIANTS[other], ratio(mine, samples[f"{prefix}.{other}"])) for other in others)


def _starts(samples: Samples, prefix: str) -> Table:
    when = {"idle": "on an idle system", "load": "with half of the slots busy, 50 starts/s"}[prefix]
    lines = (
        Line(what, samples[f"{prefix}.{name}"], _beside(samples, prefix, name))
        for name, what in _VARIANTS.items()
    )
    return Table(f"From the call to the first line of what was called, {when}", tuple(lines))


def _floods(samples: Samples) -> Table:
    lines = (
        Line(
            what,
            samples[f"flood.{name}"],
            _beside(samples, "flood", name),
            1 / samples[f"flood.{name}"].percentile(0.5),
        )
        for name, what in _VARIANTS.items()
    )
    return Table("No-ops from end to end with one worker process: time per no-op", tuple(lines))
