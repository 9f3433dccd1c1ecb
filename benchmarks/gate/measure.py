"""All of the gate, on one server in one run."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.facts import redis_server
from benchmarks.gate import calls, crowd, fairness, peers, queues, rivals, verbs, waits
from benchmarks.gate.ground import Ground, ground, plenty
from benchmarks.gate.plan import GatePlan
from benchmarks.samples import Samples

Say = Callable[[str], object]


def measure(plan: GatePlan, samples: Samples, say: Say) -> dict[str, str]:
    """Measure everything on a server of its own; answers versions."""
    peers.find()
    with ground(plan) as place:
        run(place, samples, say)
        return {"gate's server": redis_server(place.redis)} | peers.versions()


def run(place: Ground, samples: Samples, say: Say) -> None:
    """The same on a server that is there."""
    if absent := peers.missing():
        say(f"not installed, so not compared with: {', '.join(absent)}")
    say("measuring the gate and its peers, one client")
    with place.gate("calls", plenty()) as gate:
        verbs.measure(place, samples, [*calls.parts(place, gate), *rivals.parts(place)])
    say("measuring the server at its limit")
    crowd.measure(place, samples)
    say("measuring the fair queue")
    queues.measure(place, samples)
    say("measuring fairness")
    fairness.measure(place, samples)
    say("measuring the wait graph")
    waits.measure(place, samples)
