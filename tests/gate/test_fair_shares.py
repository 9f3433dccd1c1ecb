"""Who waits gets its share of what is used, whatever it says that it will use."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import combinations
from typing import Any

import pytest

from orchestrator.admission.keys import queue_name
from orchestrator.domain.instance import NewInstance
from orchestrator.domain.limits import Limits
from orchestrator.domain.priority import Priority
from tests.gate.traced import GATE, TracedGate
from tests.support.make import spawn_of

ROOMY = Limits(
    session_concurrency=100_000,
    tenant_concurrency=100_000,
    tenant_queue=20_000,
    session_queue=20_000,
)
QUEUE = queue_name(GATE, "default")
QUEUES = [QUEUE, *(f"{QUEUE}\x06\x16{level}" for level in range(1, 10))]
#: Milliseconds that an attempt takes.
TAKES = 100
#: Milliseconds for which nothing runs out.
LONG = 10**8


class Stage:
    """A gate with a few slots for which many wait; what began first ends first."""

    def __init__(self, gate: TracedGate, slots: int = 1, **fields: Any) -> None:
        self.gate = gate
        gate.set_limits(replace(ROOMY, global_concurrency=slots))
        gate.set_fields(fields | {"lease_ms": LONG, "dispatch_ms": LONG})
        gate.heartbeat("worker", "default", 100, [])
        self._waiting: dict[str, NewInstance] = {}
        self.running: deque[NewInstance] = deque()
        self.used: Counter[str] = Counter()
        for _ in range(slots):
            self.wait("nobody", "before all")

    def wait(self, tenant: str, session: str, count: int = 1, **fields: Any) -> None:
        """So many instances that want to run."""
        news = [spawn_of(tenant=tenant, session=session, **fields) for _ in range(count)]
        for start in range(0, count, 90):
            part = news[start : start + 90]
            for action in (self._check_in, self.gate.follow_many):
                action(part)
                self.gate.take_calls()
        self._waiting |= {new.id: new for new in news}
        self._collect()

    def _check_in(self, news: list[NewInstance]) -> None:
        self.gate.check_in_many(news, ["queue"] * len(news))

    def turn(self) -> NewInstance:
        """The oldest that runs ends after its time; answers it."""
        self.gate.clock.set(self.gate.clock.now + TAKES // len(self.running))
        ended = self.running.popleft()
        self.gate.release(ended.id, 1)
        self.used[ended.tenant] += TAKES
        self._collect()
        return ended

    def begun(self, tenant: str) -> bool:
        """Whether one of this tenant runs."""
        return any(new.tenant == tenant for new in self.running)

    def _collect(self) -> None:
        self.gate.take_calls()
        self.gate.redis.delete("{g}:journal")
        while found := self.gate.redis.lmpop(len(QUEUES), *QUEUES, direction="RIGHT", count=100):
            for text in found[1]:
                self.running.append(self._waiting.pop(str(text).split()[0]))


def _share(stage: Stage, weights: Mapping[str, float], turns: int, **fields: Any) -> float:
    """Let tenants wait all the time; answers how far two ever were from each other."""
    costs = {name: fields.get(name) for name in weights}
    for tenant in weights:
        stage.wait(tenant, "s", 12, cost=costs[tenant])
    for _ in stage.running.copy():
        stage.turn()
    stage.used.clear()
    worst = 0.0
    for _ in range(turns):
        ended = stage.turn()
        stage.wait(ended.tenant, "s", cost=costs[ended.tenant])
        gaps = (
            abs(stage.used[one] / weights[one] - stage.used[other] / weights[other])
            for one, other in combinations(weights, 2)
        )
        worst = max(worst, *gaps)
    return worst


def _bound(weights: Mapping[str, float], in_flight: int, most: Mapping[str, float]) -> float:
    """As `docs/explanation/fairness.md` states it."""
    parts = sorted(in_flight * most[name] / weight for name, weight in weights.items())
    return sum(parts[-2:])


WEIGHTS = {"one": 1.0, "two": 2.0, "four": 4.0}
FIELDS: dict[str, Any] = {f"weight:tenant:{name}": weight for name, weight in WEIGHTS.items()}


@pytest.mark.parametrize(("unit", "turns"), [("starts", 700), ("slot_seconds", 7000)])
def test_shares_follow_weights_also_where_declared_costs_are_wrong(
    gate: TracedGate, unit: str, turns: int
) -> None:
    stage = Stage(gate, fair_unit=unit, **FIELDS)
    # One says a hundredth of what it takes, one the truth, one a hundred times as much.
    worst = _share(stage, WEIGHTS, turns, one=TAKES / 1e5, two=TAKES / 1e3, four=TAKES / 10)
    total = sum(stage.used.values())
    for name, weight in WEIGHTS.items():
        assert abs(stage.used[name] / total - weight / 7) < 0.001
    assert worst <= _bound(WEIGHTS, 1, dict.fromkeys(WEIGHTS, TAKES))


def test_shares_hold_while_many_run_whose_cost_is_not_known_yet(gate: TracedGate) -> None:
    stage = Stage(gate, slots=5, fair_unit="slot_seconds", **FIELDS)
    costs = {"one": TAKES / 1e4, "two": TAKES / 1e3, "four": TAKES / 1e2}
    worst = _share(stage, WEIGHTS, 700, **costs)
    most = {name: max(TAKES, cost * 1000) for name, cost in costs.items()}
    assert worst <= _bound(WEIGHTS, 5, most)


def test_tenants_who_are_alike_get_the_same(gate: TracedGate) -> None:
    stage = Stage(gate)
    tenants = dict.fromkeys((f"t{number}" for number in range(50)), 1.0)
    _share(stage, tenants, 1000)
    assert _jain(stage.used[name] for name in tenants) >= 0.999


def _jain(values: Iterable[float]) -> float:
    """Jain's index: 1 when all are equal (Jain, Chiu, Hawe 1984)."""
    used = list(values)
    return sum(used) ** 2 / (len(used) * sum(one * one for one in used))


def test_sessions_share_what_their_tenant_gets(gate: TracedGate) -> None:
    stage = Stage(gate, **{"weight:session:1 as2": 3})
    stage.wait("a", "s1", 40)
    stage.wait("a", "s2", 40)
    stage.wait("b", "s", 40)
    stage.turn()
    ended = Counter((new.tenant, new.session) for new in (stage.turn() for _ in range(40)))
    assert ended == {("b", "s"): 20, ("a", "s1"): 5, ("a", "s2"): 15}


def test_a_newcomer_behind_ten_thousand_is_next(gate: TracedGate) -> None:
    stage = Stage(gate)
    stage.wait("crowd", "s", 10_000)
    for _ in range(20):
        stage.turn()
    stage.wait("newcomer", "s")
    stage.turn()
    assert stage.begun("newcomer")


def test_newcomers_do_not_pass_each_other(gate: TracedGate) -> None:
    stage = Stage(gate)
    names = ["z", "m", "a"]
    for name in names:
        stage.wait(name, "s")
    order = [stage.turn().tenant for _ in range(4)]
    assert order == ["nobody", *names]


def test_who_was_away_has_no_credit(gate: TracedGate) -> None:
    stage = Stage(gate)
    stage.wait("late", "s")
    stage.wait("busy", "s", 100)
    for _ in range(60):
        stage.turn()
    stage.wait("late", "s", 20)
    turns = [stage.turn().tenant for _ in range(21)][1:]
    assert Counter(turns) == {"busy": 10, "late": 10}


def test_a_class_that_gets_no_turn_is_raised_until_it_does(gate: TracedGate) -> None:
    """Also where a whole crowd waits so, of which no more than one is raised at a time."""
    stage = Stage(gate, aging_ms=4000)
    stage.wait("urgent", "s", 3, priority=Priority.CRITICAL)
    stage.wait("patient", "s", 30, priority=Priority.BACKGROUND)
    began, start = [], gate.clock.now
    while gate.clock.now < start + 60_000:
        stage.wait("urgent", "s", priority=Priority.CRITICAL)
        if stage.turn().tenant == "patient":
            began.append(gate.clock.now - TAKES - start)
    # Four classes up, and one turn of the other.
    assert began[0] <= 4 * 4000 + 2 * TAKES
    assert len(began) in range(8, 13)


def test_a_long_queue_of_its_own_makes_nobody_urgent(gate: TracedGate) -> None:
    stage = Stage(gate, aging_ms=1000)
    stage.wait("crowd", "s", 300)
    for _ in range(100):
        stage.turn()
    stage.wait("newcomer", "s")
    stage.turn()
    assert stage.begun("newcomer")


def test_retry_after_is_what_the_queue_takes_to_go_down(gate: TracedGate) -> None:
    stage = Stage(gate)
    stage.wait("t", "s", 200)
    for _ in range(150):
        stage.turn()
    gate.set_fields({"tenant_queue": 40})
    verdict = gate.check_in(spawn_of(tenant="t", session="s"), "queue")
    assert verdict.refusal == "QUEUE_FULL"
    assert verdict.retry_after is not None
    # Ten too many and one more, at one in 100 ms.
    assert 0.9 <= verdict.retry_after <= 1.3
    busy = gate.check_in(spawn_of(tenant="t", session="s"), "refuse")
    assert (busy.refusal, busy.retry_after) == ("CONCURRENT_LIMIT", TAKES / 1000)


def test_a_kind_that_gets_a_limit_while_it_waits_holds_up_nobody_else(gate: TracedGate) -> None:
    stage = Stage(gate)
    stage.wait("t", "s", 5, agent="slow")
    stage.wait("t", "s", 5, agent="quick")
    gate.change_limits(replace(ROOMY, global_concurrency=20), {"agent:slow": 2})
    stage.wait("t", "s")
    kinds = Counter(new.agent for new in stage.running)
    assert kinds["slow"] == 2
    assert kinds["quick"] == 5
    # And each end of a slow one lets the next begin.
    for _ in range(20):
        if stage.running:
            stage.turn()
        assert sum(new.agent == "slow" for new in stage.running) <= 2
    assert not gate.backlog()


@pytest.mark.parametrize("weights", [(1, 1, 1), (1, 2, 4)])
def test_each_tenant_has_its_share_whatever_line_it_waits_in(
    gate: TracedGate, weights: tuple[int, int, int]
) -> None:
    """One calls a resource and has a line for itself; two wait in the line of all others."""
    gate.declare_needs("caller", ["llm"])
    shares = {f"weight:tenant:{name}": weight for name, weight in zip("abc", weights, strict=True)}
    stage = Stage(gate, **shares)
    for tenant, agent in (("a", "caller"), ("b", "work"), ("c", "work")):
        stage.wait(tenant, "s", 700, agent=agent)
    for _ in range(50):
        stage.turn()  # until it is known how long each kind takes
    turns = Counter(stage.turn().tenant for _ in range(700))
    for tenant, weight in zip("abc", weights, strict=True):
        assert abs(turns[tenant] - 700 * weight / sum(weights)) <= 2
