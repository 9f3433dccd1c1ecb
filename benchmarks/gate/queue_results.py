"""From samples to tables and aims of the fair queue: what it costs, and how fair it is."""

from __future__ import annotations

from benchmarks.gate.fairness import SCENES
from benchmarks.samples import Samples
from benchmarks.tables import Aim, Table, percentiles

_VERBS = ("enqueue", "dequeue")
#: What other lengths are compared with.
_BASE = 1_000


def tables(samples: Samples) -> list[Table]:
    """Both."""
    return [_costs(samples), _shares(samples)]


def aims(samples: Samples) -> list[Aim]:
    """Coming and going together for the longest queue; shares, also where what is said is wrong."""
    sizes = sorted(_sizes(samples))
    base, (waiting, flows) = _base(samples), sizes[-1]
    times = _cost(samples, waiting, flows) / _cost(samples, *base)
    found = [Aim(f"queue of {waiting:,}, cost beside one of {_BASE:,}", times, 1.5, "x")]
    for scene in SCENES:
        error = samples.figure(f"gate.fair.{scene.name}.error") * 100
        found.append(Aim(f"share error, {scene.what}", error, 0.1, "%"))
    jain = min(samples.figure(f"gate.fair.{scene.name}.jain") for scene in SCENES)
    return [*found, Aim("Jain's index, the worst of these", jain, 0.999, "", is_least=True)]


def _costs(samples: Samples) -> Table:
    rows = []
    for waiting, flows in _sizes(samples):
        for verb in _VERBS:
            name = f"gate.{verb}.{waiting}.{flows}"
            script = samples.figure(f"{name}.server")
            times = script / _script(samples, verb, *_base(samples))
            rows.append(
                (
                    f"{verb}: {waiting:,} wait in {flows:,} flows",
                    *percentiles(samples[name]),
                    f"{script:.1f}",
                    f"{times:.2f} x {_BASE:,} waiting",
                )
            )
    columns = ("p50 ms", "p95 ms", "p99 ms", "script us", "beside")
    return Table("The fair queue", columns, tuple(rows))


def _shares(samples: Samples) -> Table:
    rows = []
    for scene in SCENES:
        name = f"gate.fair.{scene.name}"
        error, deviation, jain = (
            samples.figure(f"{name}.{what}") for what in ("error", "deviation", "jain")
        )
        rows.append((scene.what, f"{error * 100:.4f}", f"{deviation:.2f}", f"{jain:.6f}"))
    columns = ("share error %", "worst deviation, slot times", "Jain")
    return Table("Fairness: tenants that always have work waiting", columns, tuple(rows))


def _cost(samples: Samples, waiting: int, flows: int) -> float:
    return sum(_script(samples, verb, waiting, flows) for verb in _VERBS)


def _script(samples: Samples, verb: str, waiting: int, flows: int) -> float:
    return samples.figure(f"gate.{verb}.{waiting}.{flows}.server")


def _base(samples: Samples) -> tuple[int, int]:
    return next(size for size in _sizes(samples) if size[0] == _BASE)


def _sizes(samples: Samples) -> list[tuple[int, int]]:
    """How many waited in how many flows, in the order in which it was measured."""
    names = [name.split(".") for name, _ in samples.items() if name.startswith("gate.enqueue.")]
    return [(int(waiting), int(flows)) for *_, waiting, flows in names]
