"""Random waits of few instances for each other, each judged by the plainest means there are.

Dense and without anything else, so that circles through any-of and n-of waits are common. Who is
stuck is found by taking away whoever can end, again and again, until nothing changes.
"""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.domain.lifecycle import State
from orchestrator.domain.limits import Limits
from tests.gate.rows import row_of
from tests.gate.traced import TracedGate
from tests.support.make import spawn_of

#: waiter -> how many of whom it waits for
Graph = Mapping[int, tuple[int, frozenset[int]]]
SIZE = 13

_waits = st.lists(
    st.tuples(
        st.integers(0, 7),
        st.one_of(
            st.frozensets(st.integers(0, 7), min_size=1, max_size=4),
            st.frozensets(st.integers(0, SIZE - 1), min_size=11),
        ),
        st.one_of(st.integers(1, 4), st.integers(1, SIZE)),
    ),
    min_size=3,
    max_size=14,
)


def stuck(graph: Graph) -> set[int]:
    """Those that can never end."""
    left = set(graph)
    while ended := {
        one for one in left if len(graph[one][1] - left) >= min(graph[one][0], len(graph[one][1]))
    }:
        left -= ended
    return left


def check(gate: TracedGate, how: settings) -> None:
    """A wait begins exactly where it would not be stuck; else the circle is one of stuck waits."""

    @settings(how)
    @given(_waits)
    def every_wait_is_judged_right(waits: list[tuple[int, frozenset[int], int]]) -> None:
        gate.open(Limits())
        rows = [row_of(spawn_of(id=f"i{number}"), State.RUNNING, 1) for number in range(SIZE)]
        gate.adopt(rows)
        graph: dict[int, tuple[int, frozenset[int]]] = {}
        for waiter, targets, needs in waits:
            if waiter in graph:
                continue
            wanted = graph | {waiter: (needs, targets)}
            ids = [rows[target].id for target in sorted(targets)]
            cycle = gate.begin_wait(rows[waiter], 1, "run:1", ids, needs).cycle
            gate.take_calls()
            names = [int(node.id.removeprefix("i")) for node in cycle]
            assert bool(names) == (waiter in stuck(wanted))
            if names:
                assert set(names) <= stuck(wanted)
                for one, other in zip(names, [*names[1:], names[0]], strict=True):
                    assert other in wanted[one][1]
            else:
                graph = wanted

    every_wait_is_judged_right()
