"""Whoever asks why an instance does not run is told what holds it, by whom, and until when."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from orchestrator.domain.errors import InstanceNotFound, SpawnRefused
from orchestrator.domain.explanation import Explanation
from orchestrator.domain.ids import new_id
from orchestrator.domain.lifecycle import Reason, State
from orchestrator.domain.waits import Wait, WaitKind
from orchestrator.engine import limits
from orchestrator.engine.explain import explain
from orchestrator.store.store import Ending
from tests.engine.bench import Bench
from tests.support.make import parent_of

SOON = datetime(2100, 1, 1, tzinfo=UTC)


def kinds(found: Explanation) -> list[tuple[str, str]]:
    return [(one.kind, one.name) for one in found.constraints]


SCOPES = {
    "session:acme/s": ("session", "acme/s"),
    "tenant:acme": ("tenant", "acme"),
    "agent:add": ("agent", "add"),
    "pool:default": ("pool", "default"),
    "global": ("global", ""),
}


@pytest.mark.parametrize("scope", SCOPES)
def test_each_limit_is_named_with_its_holders(bench: Bench, scope: str) -> None:
    limits.set_limit(bench.deps, scope, 2)
    holders = [bench.spawn(tenant="acme", session="s") for _ in range(2)]
    waiting = [bench.spawn(tenant="acme", session="s") for _ in range(3)]
    found = explain(bench.deps, waiting[1])
    assert kinds(found) == [SCOPES[scope]]
    [constraint] = found.constraints
    assert (constraint.limit, constraint.used) == (2, 2)
    assert sorted(constraint.holders) == sorted(holders)
    assert (found.position_in_flow, found.flow_length) == (2, 3)
    assert (found.position, found.waiting) == (2, 3)
    assert "2 of 2 slots" in found.summary
    # And the same to whom a spawn is refused.
    with pytest.raises(SpawnRefused) as refused:
        bench.spawn(tenant="acme", session="s", on_limit="refuse")
    assert refused.value.scope == SCOPES[scope][0]
    assert sorted(refused.value.holders) == sorted(holders)
    assert refused.value.to_dict()["holders"] == list(refused.value.holders)


def test_all_limits_that_are_met_are_told(bench: Bench) -> None:
    limits.set_limit(bench.deps, "tenant", 1)
    limits.set_limit(bench.deps, "agent:add", 1)
    bench.spawn(tenant="acme", session="s")
    found = explain(bench.deps, bench.spawn(tenant="acme", session="s"))
    assert kinds(found) == [("tenant", "acme"), ("agent", "add")]


def test_holders_are_at_most_ten(bench: Bench) -> None:
    limits.set_limit(bench.deps, "tenant", 12)
    for number in range(12):
        bench.spawn(session=f"s{number}")
    [constraint] = explain(bench.deps, bench.spawn()).constraints
    assert (constraint.used, len(constraint.holders)) == (12, 10)


def test_no_worker(bench: Bench) -> None:
    found = explain(bench.deps, bench.spawn(pool="gpu"))
    assert kinds(found) == [("workers", "gpu")]
    assert "No live worker" in found.summary
    assert found.expected_start is None


def test_paused(bench: Bench) -> None:
    limits.set_limit(bench.deps, "tenant:acme", 0)
    found = explain(bench.deps, bench.spawn(tenant="acme"))
    assert "paused" in found.summary
    assert found.expected_start is None


def test_the_place_follows_fair_shares(bench: Bench) -> None:
    """One of many tenants with one each waits for them, not for the hundred of the busy one."""
    limits.set_limit(bench.deps, "pool", 1)
    bench.spawn(tenant="busy", session="b")
    for _ in range(30):
        last_of_busy = bench.spawn(tenant="busy", session="b")
    calm = bench.spawn(tenant="calm", session="c")
    found = explain(bench.deps, calm)
    assert found.position is not None
    assert found.position <= 2
    assert (found.position_in_flow, found.flow_length, found.waiting) == (1, 1, 31)
    assert explain(bench.deps, last_of_busy).position == 31


def test_urgent_ones_come_first(bench: Bench) -> None:
    limits.set_limit(bench.deps, "pool", 1)
    bench.spawn()
    low = bench.spawn(tenant="a", priority="low")
    for number in range(5):
        bench.spawn(tenant=f"t{number}", priority="high")
    assert explain(bench.deps, low).position == 6


def test_the_start_is_expected_by_what_was_measured(bench: Bench) -> None:
    limits.set_limit(bench.deps, "pool", 1)
    first = bench.spawn()
    waiting = [bench.spawn() for _ in range(3)]
    # Nothing has ever run: nobody can say.
    assert explain(bench.deps, waiting[2]).expected_start is None
    bench.advance(4)
    bench.execute(first)
    found = explain(bench.deps, waiting[2])
    assert found.expected_start is not None
    now = datetime.fromtimestamp(bench.deps.gate.now() / 1000 + 4, UTC)
    # One took four seconds and was the only one in ten to twenty; one is before this one.
    assert 4 <= (found.expected_start - now).total_seconds() <= 45


def test_delayed(bench: Bench) -> None:
    one = bench.spawn()
    bench.begin(one)
    bench.deps.store.hand_back(one, 1, "RETRY", failed=True, delay=500)
    bench.deps.gate.requeue(bench.row(one), 1, 500.0)
    found = explain(bench.deps, one)
    assert kinds(found) == [("delay", "")]
    assert found.reason == "RETRY"
    assert found.expected_start is not None
    assert 400 < (found.expected_start - datetime.now(UTC)).total_seconds() <= 501


def test_waiting_for_children(bench: Bench) -> None:
    parent = bench.begin(bench.spawn("echo"))
    children = [bench.spawn(parent=parent_of(parent, number)) for number in range(2)]
    bench.deps.store.park(parent.id, 1)
    bench.deps.gate.suspend(parent.id, 1, "bench")
    found = explain(bench.deps, parent.id)
    assert found.state == State.WAITING
    assert sorted(name for _, name in kinds(found)) == sorted(children)
    bench.execute(children[0])
    assert kinds(explain(bench.deps, parent.id)) == [("instance", children[1])]


def test_those_that_nothing_holds(bench: Bench) -> None:
    one = bench.spawn()
    found = explain(bench.deps, one)
    assert (found.state, kinds(found)) == ("dispatched", [("begin", "default")])
    bench.begin(one)
    assert "runs" in explain(bench.deps, one).summary
    bench.deps.store.settle(one, 1, Ending(State.COMPLETED, result="1"))
    assert "completed" in explain(bench.deps, one).summary


def test_one_that_the_gate_does_not_know(bench: Bench) -> None:
    one = bench.spawn(pool="gpu")
    bench.deps.gate.cancel([one])
    assert "does not know" in explain(bench.deps, one).summary


def test_nobody(bench: Bench) -> None:
    with pytest.raises(InstanceNotFound):
        explain(bench.deps, new_id())


def test_to_look_changes_nothing(bench: Bench) -> None:
    limits.set_limit(bench.deps, "pool", 1)
    bench.spawn()
    waiting = bench.spawn()
    before = bench.state()
    explain(bench.deps, waiting)
    assert bench.state() == before


def test_waiting_in_the_gate_is_told_from_there(bench: Bench) -> None:
    """Also for instances that are no children, and for some of many."""
    others = [bench.spawn() for _ in range(3)]
    waiter = bench.begin(bench.spawn("echo"))
    bench.deps.gate.begin_wait(waiter, 1, "run:1", others, 2)
    bench.deps.store.park(waiter.id, 1)
    bench.deps.gate.suspend(waiter.id, 1, "bench")
    found = explain(bench.deps, waiter.id)
    assert kinds(found) == [("instance", one) for one in sorted(others)]
    assert "2 of 3 instances" in found.summary


def test_waiting_for_a_lock_names_its_holder(bench: Bench) -> None:
    holder, waiter = (bench.begin(bench.spawn("echo", tenant="ä c")) for _ in range(2))
    bench.deps.gate.take_lock(holder, 1, "run:1", "repo:main")
    bench.deps.gate.take_lock(waiter, 1, "run:1", "repo:main")
    bench.deps.store.park(waiter.id, 1)
    bench.deps.gate.suspend(waiter.id, 1, "bench")
    found = explain(bench.deps, waiter.id)
    assert [(one.kind, one.name, one.holders) for one in found.constraints] == [
        ("lock", "repo:main", (holder.id,))
    ]
    assert f"the lock repo:main, which {holder.id} holds" in found.summary


@pytest.mark.parametrize(
    ("wait", "words"),
    [
        (Wait(WaitKind.TIMER, 0, until=SOON), "It sleeps until 2100-01-01 00:00:00 UTC"),
        (Wait(WaitKind.SIGNAL, 0, name="approval"), "It waits for the signal approval"),
        (Wait(WaitKind.MESSAGE, 0, name="bids", until=SOON), "about bids, until 2100-01-01"),
        (Wait(WaitKind.LOCK, 0, name="repo"), "It waits for the lock repo"),
    ],
)
def test_one_that_is_asleep_says_for_what(bench: Bench, wait: Wait, words: str) -> None:
    one = bench.begin(bench.spawn("echo")).id
    bench.deps.store.journal.suspend(one, 1, Reason.WAITING_FOR_TIME, wait, ())
    bench.deps.gate.suspend(one, 1)
    found = explain(bench.deps, one)
    assert words in found.summary
    assert kinds(found) == ([("delay", "")] if wait.until else [])


def test_one_that_was_woken_is_in_line(bench: Bench) -> None:
    one = bench.begin(bench.spawn("echo")).id
    wait = Wait(WaitKind.MESSAGE, 0)
    bench.deps.store.journal.suspend(one, 1, Reason.WAITING_FOR_MESSAGE, wait, ())
    bench.deps.gate.suspend(one, 1)
    limits.set_limit(bench.deps, "pool", 0)
    bench.deps.gate.wake([one])
    found = explain(bench.deps, one)
    assert (found.position, kinds(found)) == (1, [("pool", "default")])


def test_one_that_starts_after_others_names_them(bench: Bench) -> None:
    first = bench.spawn()
    second = bench.spawn(after=[first])
    found = explain(bench.deps, second)
    assert kinds(found) == [("instance", first)]
    assert "once 1 more" in found.summary
