"""The peers and the chains of them, one client, one call after the other.

Fills `gate.peer.<name>` and `gate.chain.<decision>`; only what is installed is measured.
"""

from __future__ import annotations

import uuid

from benchmarks.gate import chains, peers
from benchmarks.gate.ground import Ground
from benchmarks.gate.peers import Use
from benchmarks.gate.verbs import Part
from benchmarks.samples import Samples, timed


def parts(ground: Ground) -> list[Part]:
    """One for each peer and each chain."""
    found = [
        _use(ground, f"gate.peer.{name}", use)
        for name, use in peers.uses(ground.redis, ground.url).items()
    ]
    if not peers.missing():
        found += [_admission(ground), _call(ground)]
    return found


def _use(ground: Ground, name: str, use: Use) -> Part:
    return lambda into: into.add(name, timed(use, _names(ground)))


def _admission(ground: Ground) -> Part:
    """Only what is taken is compared: a slot is given back much later."""
    chain = chains.admission(ground.redis)

    def part(into: Samples) -> None:
        names = _names(ground)
        into.add("gate.chain.admission", timed(chain.take, names))
        for name in names:
            chain.give_back(name)

    return part


def _call(ground: Ground) -> Part:
    """The whole of a call."""
    chain = chains.call(ground.redis, ground.url)

    def both(name: str) -> None:
        chain.take(name)
        chain.give_back(name)

    return lambda into: into.add("gate.chain.call", timed(both, _names(ground)))


def _names(ground: Ground) -> list[str]:
    return [str(uuid.uuid4()) for _ in range(ground.plan.calls)]
