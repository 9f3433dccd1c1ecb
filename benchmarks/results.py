"""From samples to figures, ratios and aims."""

from __future__ import annotations

from benchmarks.durable import results as durable
from benchmarks.gate import results as gate
from benchmarks.recovery import results as recovery
from benchmarks.samples import Samples, ratio
from benchmarks.tables import PING, Aim, Line, Table, timings


def tables(samples: Samples) -> list[Table]:
    """All that is reported of what was measured, in the order of an instance's life."""
    found: list[Table] = []
    if "spawn" in samples:
        found += [_spawns(samples), _verbs(samples)]
        found += [_starts(samples, "idle"), _starts(samples, "load"), _floods(samples)]
    return found + durable.tables(samples) + gate.tables(samples) + recovery.tables(samples)


def aims(samples: Samples) -> list[Aim]:
    """The aims, held against what was measured."""
    ours = _aims(samples) if "spawn" in samples else []
    return ours + durable.aims(samples) + gate.aims(samples) + recovery.aims(samples)


def _aims(samples: Samples) -> list[Aim]:
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
    return timings("A call from one process, on an idle system", lines)


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
    lines = [
        Line(
            verb,
            samples[verb],
            ((names[other], ratio(samples[verb], samples[other])),),
            samples[verb].rate,
        )
        for verb, other in compared.items()
    ]
    return timings(
        "The single verbs, one client: rate beside PING's, time beside a commit's", lines
    )


_VARIANTS = {"ours": "this system", "bare": "bare Celery", "stock": "stock Celery"}


def _beside(samples: Samples, prefix: str, name: str) -> tuple[tuple[str, float], ...]:
    mine = samples[f"{prefix}.{name}"]
    others = [other for other in ("bare", "stock") if name == "ours"]
    return tuple((_VARIANTS[other], ratio(mine, samples[f"{prefix}.{other}"])) for other in others)


def _starts(samples: Samples, prefix: str) -> Table:
    when = {"idle": "on an idle system", "load": "with half of the slots busy, 50 starts/s"}[prefix]
    lines = [
        Line(what, samples[f"{prefix}.{name}"], _beside(samples, prefix, name))
        for name, what in _VARIANTS.items()
    ]
    return timings(f"From the call to the first line of what was called, {when}", lines)


def _floods(samples: Samples) -> Table:
    lines = [
        Line(
            what,
            samples[f"flood.{name}"],
            _beside(samples, "flood", name),
            1 / samples[f"flood.{name}"].percentile(0.5),
        )
        for name, what in _VARIANTS.items()
    ]
    return timings("No-ops from end to end with one worker process: time per no-op", lines)
