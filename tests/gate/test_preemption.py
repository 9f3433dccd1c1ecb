"""What is urgent gets a slot from what is not, and nobody displaces in turn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from orchestrator.admission.keys import key
from orchestrator.domain.instance import NewInstance
from orchestrator.domain.lifecycle import State
from orchestrator.domain.limits import Limits
from orchestrator.domain.priority import Priority
from tests.gate.rows import row_of
from tests.gate.traced import GATE, TracedGate
from tests.support.make import spawn_of

SLOTS = 2
NARROW = Limits(session_concurrency=100, tenant_concurrency=100, pool_concurrency=SLOTS)


class Crowd:
    """Instances of one pool, whose worker does what it is told."""

    def __init__(self, gate: TracedGate, preempt_from: Priority) -> None:
        self.gate = gate
        self.news: dict[str, NewInstance] = {}
        #: who has taken whose slot
        self.taken: set[tuple[str, str]] = set()
        gate.open(NARROW)
        gate.set_fields({"preempt_from": int(preempt_from), "aging_ms": 1_000})
        self.beat()

    def beat(self) -> None:
        pairs = [(one, self.gate.glance(one).attempt) for one in self.running()]
        self.gate.heartbeat("worker", "default", 100, pairs)
        self.gate.take_calls()

    def running(self) -> set[str]:
        return set(self._members("leases"))

    def displaced(self) -> list[str]:
        return self._members("stopping")

    def _members(self, name: str) -> list[str]:
        return cast(list[str], self.gate.redis.zrange(key(GATE, name), 0, -1))

    def start(self, priority: Priority, tenant: str = "tenant", **fields: Any) -> str:
        new = spawn_of(
            id=f"i{len(self.news):03}", priority=priority, tenant=tenant, session=tenant, **fields
        )
        self.news[new.id] = new
        self.gate.check_in(new, "queue")
        self.gate.follow(new)
        return new.id

    def end(self, one: str) -> None:
        self.gate.release(one, self.gate.glance(one).attempt)

    def give_way(self) -> None:
        """All that are told to do so, and those that are told because of that."""
        for _ in range(2 * SLOTS):
            for one in self.displaced():
                self._hand_back(one)
            self.gate.take_calls()
        assert not self.displaced(), "they go on and on"

    def _hand_back(self, one: str) -> None:
        before, attempt = self.running(), self.gate.glance(one).attempt
        self.gate.requeue(row_of(self.news[one], State.QUEUED, attempt), attempt)
        [newcomer] = self.running() - (before - {one})
        assert self.news[newcomer].priority < self.news[one].priority, "nothing has improved"
        assert (one, newcomer) not in self.taken, f"{newcomer} and {one} displace each other"
        self.taken.add((newcomer, one))


_kinds = st.sampled_from(["start"] * 6 + ["end", "pass_time"])
_steps = st.lists(
    st.tuples(_kinds, st.sampled_from(Priority), st.booleans(), st.integers(0, 5)),
    min_size=5,
    max_size=25,
)


def test_every_displacement_improves_what_runs(gate: TracedGate) -> None:
    seen = 0

    @settings(
        max_examples=60,
        derandomize=True,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.sampled_from(list(Priority)[:4]), _steps)
    def try_it(preempt_from: Priority, steps: Sequence[tuple[str, Priority, bool, int]]) -> None:
        nonlocal seen
        crowd = Crowd(gate, preempt_from)
        for kind, priority, preemptible, number in steps:
            if kind == "start":
                crowd.start(priority, f"t{number % 2}", preemptible=preemptible)
            elif kind == "end":
                for one in sorted(crowd.running())[number % SLOTS :][:1]:
                    crowd.end(one)
            else:
                gate.clock.advance(0.4 * number)
                crowd.beat()
            crowd.give_way()
        seen += len(crowd.taken)

    try_it()
    assert seen > 25


def test_the_least_urgent_gives_way_then_who_has_most_then_the_youngest(gate: TracedGate) -> None:
    crowd = Crowd(gate, Priority.HIGH)
    gate.set_fields({"pool": 5})
    for _ in range(3):  # most of all slots, but more urgent than the others
        crowd.start(Priority.NORMAL, "a")
    first = crowd.start(Priority.LOW, "b")
    gate.clock.advance(0.1)
    second = crowd.start(Priority.LOW, "b")
    crowd.start(Priority.HIGH)
    assert crowd.displaced() == [second]
    crowd.start(Priority.HIGH)
    assert crowd.displaced() == [first, second]


def test_of_one_class_the_tenant_with_most_for_its_weight_gives_way(gate: TracedGate) -> None:
    crowd = Crowd(gate, Priority.CRITICAL)
    gate.set_fields({"weight:tenant:rich": 8, "pool": 3})
    crowd.start(Priority.LOW, "rich")
    crowd.start(Priority.LOW, "rich")
    poor = crowd.start(Priority.LOW, "poor")
    gate.clock.advance(0.1)
    crowd.start(Priority.CRITICAL, "other")
    assert crowd.displaced() == [poor]


@pytest.mark.parametrize("scope", ["session", "tenant", "agent", "global"])
def test_only_a_slot_that_is_of_use_is_taken(gate: TracedGate, scope: str) -> None:
    crowd = Crowd(gate, Priority.CRITICAL)
    names = {"session": "session:1 aa", "tenant": "tenant:a", "agent": "agent:rare"}
    gate.set_fields({names.get(scope, "global"): 2 if scope == "global" else 1})
    other = crowd.start(Priority.BACKGROUND, "b")
    inside = crowd.start(Priority.NORMAL, "a", agent="rare")
    gate.set_fields({"pool": 100})
    crowd.start(Priority.CRITICAL, "a", agent="rare")
    assert crowd.displaced() == [other if scope == "global" else inside]


def test_who_was_cancelled_frees_a_slot_as_well(gate: TracedGate) -> None:
    crowd = Crowd(gate, Priority.CRITICAL)
    ones = [crowd.start(Priority.LOW) for _ in range(SLOTS)]
    gate.cancel(ones[:1])
    crowd.start(Priority.CRITICAL)
    assert crowd.displaced() == ones[:1]


def test_nobody_gives_way_where_one_slot_is_not_enough(gate: TracedGate) -> None:
    crowd = Crowd(gate, Priority.CRITICAL)
    for _ in range(SLOTS):
        crowd.start(Priority.LOW)
    gate.set_fields({"pool": 0})
    crowd.start(Priority.CRITICAL)
    assert crowd.displaced() == []


def test_the_heartbeat_names_those_that_were_told(gate: TracedGate) -> None:
    crowd = Crowd(gate, Priority.CRITICAL)
    ones = [crowd.start(Priority.LOW) for _ in range(SLOTS)]
    crowd.start(Priority.CRITICAL)
    pulse = gate.heartbeat("worker", "default", 100, [(one, 1) for one in ones])
    assert pulse.displaced == {ones[-1]}
    assert pulse.doubtful == frozenset()
