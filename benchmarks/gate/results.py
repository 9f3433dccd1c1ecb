"""From samples to tables and aims of the gate."""

from __future__ import annotations

from benchmarks.gate import queue_results, wait_results
from benchmarks.samples import Samples, ratio
from benchmarks.tables import PING, Aim, Line, Table, percentiles, timings

_COLUMNS = ("p50 ms", "p95 ms", "p99 ms", "per second", "script us", "beside")

_VERBS = {
    "wire_ping": "PING over the gate's client",
    "check_in": "check in: admitted",
    "follow": "follow: handed out",
    "release": "release: nobody waits",
    "queue": "check in and follow: queued",
    "hand_on": "release and admit the next",
    "acquire": "acquire: 4 buckets, breaker, calls at once",
    "settle": "settle the same",
    "call": "acquire and settle the same",
    "bucket": "acquire and settle: 2 buckets",
    "breaker": "acquire and settle: breaker",
}
_PEERS = {
    "limits": "limits: fixed window",
    "throttled-py": "throttled-py: token bucket",
    "pybreaker": "pybreaker: call through a closed breaker",
    "tasktiger": "tasktiger: semaphore, taken and given back",
    "redis-py": "redis-py: lock, taken and given back",
}
#: a chain of libraries -> the decision of the gate that it stands for
_CHAINS = {"admission": "check_in", "call": "call"}


def tables(samples: Samples) -> list[Table]:
    """What was measured of the gate; nothing when nothing was."""
    if "gate.ping" not in samples:
        return []
    found = [_verbs(samples), _rivals(samples), _crowd(samples)]
    return found + queue_results.tables(samples) + wait_results.tables(samples)


def aims(samples: Samples) -> list[Aim]:
    """The aims of the gate, held against what was measured of them."""
    if "gate.ping" not in samples:
        return []
    check_in = 1 / ratio(samples["gate.check_in"], samples["gate.ping"])
    found = [
        Aim("check-in, one client, beside PING", check_in, 0.45, "xPING", is_least=True),
        Aim(
            "check-ins at the server's limit",
            samples["gate.crowd.check_in"].rate,
            25_000,
            "per second",
            is_least=True,
        ),
    ]
    for chain, ours in _CHAINS.items():
        if f"gate.chain.{chain}" in samples and f"gate.{ours}" in samples:
            times = ratio(samples[f"gate.chain.{chain}"], samples[f"gate.{ours}"])
            what = f"{ours.replace('_', '-')}, against a chain of libraries"
            found.append(Aim(what, times, 3.0, "x as fast", is_least=True))
    return found + queue_results.aims(samples) + wait_results.aims(samples)


def _verbs(samples: Samples) -> Table:
    names = {"ping": PING} | _VERBS
    rows = tuple(
        (what, *_calls(samples, f"gate.{name}"))
        for name, what in names.items()
        if f"gate.{name}" in samples
    )
    return Table("The gate, one client", _COLUMNS, rows)


def _calls(samples: Samples, name: str) -> tuple[str, ...]:
    series = samples[name]
    script = f"{samples.figure(f'{name}.server'):.1f}" if f"{name}.server" in samples else ""
    rate = 1 / ratio(series, samples["gate.ping"])
    return (*percentiles(series), f"{series.rate:,.0f}", script, f"{rate:.2f} xPING")


def _rivals(samples: Samples) -> Table:
    ping = samples["gate.ping"]
    lines = []
    for name, what in _PEERS.items():
        if f"gate.peer.{name}" in samples:
            series = samples[f"gate.peer.{name}"]
            lines.append(Line(what, series, ((PING, ratio(series, ping)),), series.rate))
    for chain, ours in _CHAINS.items():
        if f"gate.chain.{chain}" in samples:
            series = samples[f"gate.chain.{chain}"]
            ratios = [(PING, ratio(series, ping))]
            if f"gate.{ours}" in samples:
                ratios.append((f"our {ours}", ratio(series, samples[f"gate.{ours}"])))
            lines.append(Line(f"chain of libraries: {chain}", series, tuple(ratios), series.rate))
    return timings("Other libraries, one client, on the same server", lines)


def _crowd(samples: Samples) -> Table:
    ping = samples["gate.crowd.ping"]
    rows = []
    for name, series in samples.items():
        if name.startswith("gate.crowd."):
            rows.append(
                (
                    name.removeprefix("gate.crowd."),
                    f"{series.rate:,.0f}",
                    f"{samples.figure(f'{name}.server'):.1f}",
                    f"{samples.figure(f'{name}.processor'):.1f}",
                    f"{1 / ratio(series, ping):.2f} xPING",
                )
            )
    columns = ("per second", "script us", "processor us", "beside")
    return Table("The server at its limit, several clients", columns, tuple(rows))
