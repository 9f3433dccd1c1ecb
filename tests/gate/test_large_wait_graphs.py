"""Danger: a search that sees only part of a large graph, or keeps everybody waiting for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import pairwise
from typing import cast

import pytest

from orchestrator.admission.gate import Gate
from orchestrator.admission.scripts import Library
from orchestrator.domain.instance import Instance
from orchestrator.domain.lifecycle import State
from orchestrator.domain.limits import Limits
from tests.gate.rows import row_of
from tests.support.clock import PLAIN_MESSAGE
from tests.support.make import spawn_of

#: A tree of 11,111 instances; what a script looks at without more ado, in nodes.
FAN, DEPTH, BUDGET = 10, 4, 2_000


@pytest.fixture
def gate(redis_url: str) -> Iterator[Gate]:
    """A gate with so much room that all run."""
    with closing(Gate(redis_url, Library(PLAIN_MESSAGE), name="crowd")) as gate:
        gate.begin_rebuild("token", 10.0)
        gate.configure(Limits(), lease=600.0, dispatch=600.0, outbox=False)
        gate.finish_rebuild("token")
        yield gate


def rows(gate: Gate, count: int) -> list[Instance]:
    """So many that run."""
    found = [row_of(spawn_of(id=f"i{number:05}"), State.RUNNING, 1) for number in range(count)]
    gate.adopt(found)
    return found


def wait(gate: Gate, one: Instance, *targets: Instance, needs: int | None = None) -> int:
    """Begin a wait; answers how long the circle is that it would close, 0 when it may begin."""
    ids = [target.id for target in targets]
    return len(gate.begin_wait(one, 1, "run:1", ids, needs).cycle)


def unchecked(gate: Gate) -> Sequence[str]:
    """Those that the sweep has to look at again."""
    return cast(list[str], gate.redis.zrange("{crowd}:unchecked", 0, -1))


def microseconds(gate: Gate) -> float:
    """What a script call has taken the server on average since the last look."""
    stats = cast(dict[str, dict[str, float]], gate.redis.info("commandstats"))
    gate.redis.config_resetstat()
    return stats["cmdstat_evalsha"]["usec_per_call"]


@pytest.fixture
def tree(gate: Gate) -> list[Instance]:
    """Everybody but the leaves waits for all its children; number n has n * FAN + 1 to + FAN."""
    inner = sum(FAN**level for level in range(DEPTH))
    nodes = rows(gate, inner * FAN + 1)
    for number in range(inner):
        children = nodes[number * FAN + 1 : number * FAN + FAN + 1]
        assert wait(gate, nodes[number], *children) == 0
    return nodes


def test_a_leaf_that_waits_for_the_root_closes_the_way_down(
    gate: Gate, tree: list[Instance]
) -> None:
    gate.redis.config_resetstat()
    for leaf in tree[-200:]:
        assert wait(gate, leaf, tree[0]) == DEPTH + 1
    assert microseconds(gate) < 1_000
    for leaf in tree[-200:]:
        assert wait(gate, leaf, tree[-201]) == 0
    assert microseconds(gate) < 1_000
    assert unchecked(gate) == []


def test_a_lock_of_the_root_is_part_of_the_way(gate: Gate, tree: list[Instance]) -> None:
    gate.end_wait(tree[0], "run:1")
    assert gate.take_lock(tree[0], 1, "run:2", "x").state == "held"
    wait(gate, tree[0], *tree[1 : FAN + 1])
    cycle = gate.take_lock(tree[-1], 1, "run:1", "x").cycle
    assert [node.kind for node in cycle].count("lock") == 1
    assert len(cycle) == DEPTH + 2


@pytest.mark.parametrize("length", [BUDGET // 2, BUDGET + BUDGET // 2], ids=["short", "long"])
def test_a_chain_is_seen_to_its_end(gate: Gate, length: int) -> None:
    """At once or, when it is too long for that, at the next look."""
    chain = rows(gate, length)
    for one, target in pairwise(chain):
        assert wait(gate, one, target) == 0
    found = wait(gate, chain[-1], chain[0])
    if length < BUDGET:
        assert found == length
        return
    assert found == 0
    assert unchecked(gate) == [chain[-1].id]
    assert gate.recheck_waits(10 * BUDGET, 60.0) == 1
    assert len(gate.begin_wait(chain[-1], 1, "run:1", [chain[0].id]).cycle) == length
    assert unchecked(gate) == []


def test_what_is_too_much_for_the_next_look_too_is_looked_at_later(gate: Gate) -> None:
    chain = rows(gate, BUDGET + 100)
    for one, target in zip(chain, [*chain[1:], chain[0]], strict=True):
        assert wait(gate, one, target) == 0
    assert gate.recheck_waits(100, 60.0) == 0
    assert unchecked(gate) == [chain[-1].id]


def test_many_that_wait_for_one_do_not_hide_that_it_can_end(gate: Gate) -> None:
    nodes = rows(gate, BUDGET + 502)
    holder, free, others = nodes[0], nodes[1], nodes[2:]
    gate.take_lock(holder, 1, "run:0", "x")
    for one in others:
        assert gate.take_lock(one, 1, "run:1", "x").state == "waiting"
    assert wait(gate, holder, free) == 0
    assert unchecked(gate) == []
    # But for one of those it may not wait: the way is short, however many there are
    assert wait(gate, holder, free, others[-1], needs=1) == 0
    gate.end_wait(holder, "run:1")
    assert len(gate.begin_wait(holder, 1, "run:2", [others[-1].id]).cycle) == 3


def test_a_parent_of_thousands_costs_one_look_backward(gate: Gate) -> None:
    parent, *children = rows(gate, 5_000)
    assert wait(gate, parent, *children) == 0
    assert unchecked(gate) == []
    assert wait(gate, children[-1], parent) == 2


def test_an_instance_may_hold_a_hundred_locks(gate: Gate) -> None:
    one = rows(gate, 1)[0]
    states = [gate.take_lock(one, 1, f"run:{n}", f"lock {n}").state for n in range(101)]
    assert states == ["held"] * 100 + ["full"]
