"""Edges of the wait graph: one more among few and many, and one that closes a cycle.

The edges that are there belong to trees, as they come about: who spawned waits for all it has
spawned. An *insertion* is the wait of a leaf for a new child. A *closing* wait is that of a leaf
for the root of its tree, which is refused and leaves nothing behind.

Fills `gate.edge.<edges>` and `gate.closing.<size of the tree>` with seconds, and the figures of the
same names with `.server`. `gate.escape.<size>` is the closing wait in trees whose parents need only
one of their children: nothing is stuck, and all of the tree, up to a bound, has to be looked at.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

from benchmarks.gate.ground import Ground, plenty, row_of, spawn_of
from benchmarks.gate.verbs import Part, clocked
from benchmarks.samples import Samples, in_turns, timed
from orchestrator.admission.gate import Gate
from orchestrator.domain.instance import Instance
from orchestrator.domain.lifecycle import State

#: Children of each parent.
_CHILDREN = 10
#: Size of the trees among which an edge is inserted.
_TREE = 111
_PAGE = 500

_claims = itertools.count()


def measure(ground: Ground, samples: Samples) -> None:
    """Build all graphs, each in a gate of its own, then visit them in turns."""
    with ExitStack() as opened:

        def gate(name: str) -> Gate:
            return opened.enter_context(ground.gate(name, plenty()))

        found = [_insertions(ground, gate(f"edges-{edges}"), edges) for edges in ground.plan.edges]
        for size in ground.plan.trees:
            found.append(_closings(ground, gate(f"all-{size}"), size))
            found.append(_escapes(ground, gate(f"any-{size}"), size))
        for part in found:
            part(Samples())
        for part in in_turns(found, ground.plan.wait_rounds):
            part(samples)


def _insertions(ground: Ground, gate: Gate, edges: int) -> Part:
    """Waits of leaves for a new child each, while `edges` others are there."""
    leaves: list[Instance] = []
    there = 0
    while there < edges:
        tree = _grow(gate, min(_TREE, edges - there + 1), None)
        there += len(tree) - 1
        leaves += tree[_parents(len(tree)) :]
    pairs = list(zip(leaves, _run(gate, ground.plan.wait_calls), strict=False))

    def part(into: Samples) -> None:
        claim = _claim()

        def begin(pair: tuple[Instance, Instance]) -> None:
            parent, child = pair
            gate.begin_wait(parent, 1, claim, [child.id])

        clocked(ground, into, f"gate.edge.{edges}", begin, pairs)
        for parent, _ in pairs:
            gate.end_wait(parent, claim)

    return part


def _closings(ground: Ground, gate: Gate, size: int) -> Part:
    """Waits of a leaf for the root, each of which would be a deadlock."""
    root, *_, leaf = _grow(gate, size, None)

    def close(claim: str) -> None:
        _must(gate.begin_wait(leaf, 1, claim, [root.id]).state == "deadlock")

    def part(into: Samples) -> None:
        claims = [_claim() for _ in range(ground.plan.wait_calls)]
        clocked(ground, into, f"gate.closing.{size}", close, claims)

    return part


def _escapes(ground: Ground, gate: Gate, size: int) -> Part:
    """The same where a parent needs only one of its children: a wait that may begin."""
    root, *_, leaf = _grow(gate, size, 1)

    def begin(claim: str) -> None:
        _must(gate.begin_wait(leaf, 1, claim, [root.id]).state == "waiting")

    def claims() -> Iterator[str]:
        for _ in range(ground.plan.wait_calls):
            claim = _claim()
            yield claim
            gate.end_wait(leaf, claim)

    return lambda into: into.add(f"gate.escape.{size}", timed(begin, claims()))


def _grow(gate: Gate, size: int, needs: int | None) -> Sequence[Instance]:
    """A tree of running instances, each parent waiting for `needs` (None: all) of its children."""
    tree = _run(gate, size)
    for number in range(_parents(size)):
        children = tree[number * _CHILDREN + 1 : (number + 1) * _CHILDREN + 1]
        gate.begin_wait(tree[number], 1, _claim(), [child.id for child in children], needs)
    return tree


def _parents(size: int) -> int:
    """How many of a tree have children; they come first."""
    return -(-(size - 1) // _CHILDREN)


def _run(gate: Gate, count: int) -> list[Instance]:
    """So many that run their first attempt."""
    rows = [row_of(spawn_of(), State.RUNNING, 1) for _ in range(count)]
    for start in range(0, count, _PAGE):
        gate.adopt(rows[start : start + _PAGE])
    return rows


def _must(answered: bool) -> None:
    if not answered:
        raise RuntimeError("a wait was not judged as its graph is")


def _claim() -> str:
    return f"1:{next(_claims)}"
