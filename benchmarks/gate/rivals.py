"""The peers and the chains of them, one client, one call after the other.

Fills `gate.peer.<name>` and `gate.chain.<decision>`; only what is installed is measured.
"""

from __future__ import annotations

import uuid

from benchmarks.gate import chains, peers
from benchmarks.gate.chains import Chain
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
        found.append(_chain(ground, "admission", chains.admission(ground.redis)))
        found.append(_chain(ground, "call", chains.call(ground.redis, ground.url)))
    return found


def _use(ground: Ground, name: str, use: Use) -> Part:
    return lambda into: into.add(name, timed(use, _names(ground)))


def _chain(ground: Ground, decision: str, chain: Chain) -> Part:
    def part(into: Samples) -> None:
        names = _names(ground)
        into.add(f"gate.chain.{decision}", timed(chain.take, names))
        into.add(f"gate.chain.{decision}.end", timed(chain.give_back, names))

    return part


def _names(ground: Ground) -> list[str]:
    return [str(uuid.uuid4()) for _ in range(ground.plan.calls)]
