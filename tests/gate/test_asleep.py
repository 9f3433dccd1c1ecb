"""Who waits with nobody there is woken by the gate itself: once, and whatever comes first."""

from __future__ import annotations

import pytest

from orchestrator.domain.instance import Instance
from orchestrator.domain.lifecycle import State
from orchestrator.domain.limits import Limits
from orchestrator.domain.waits import Dependencies, KeptLock, Wait, WaitKind
from tests.gate.rows import row_of
from tests.gate.traced import DISPATCH, LEASE, TracedGate
from tests.support.make import spawn_of

MANY = 10_000
WIDE = Limits(
    session_concurrency=2 * MANY,
    tenant_concurrency=2 * MANY,
    pool_concurrency=2 * MANY,
    global_concurrency=2 * MANY,
)
#: How much of what a call has to do for others it does at most.
BOUND = 130


@pytest.fixture(autouse=True)
def _open_wide(gate: TracedGate) -> None:
    gate.open(WIDE)
    gate.heartbeat("worker", "default", 2 * MANY, [])


def run_as_first(gate: TracedGate, *names: str) -> list[Instance]:
    """Instances that run as their first attempt."""
    rows = [row_of(spawn_of(id=one), State.RUNNING, 1) for one in names]
    for start in range(0, len(rows), 500):
        gate.adopt(rows[start : start + 500])
        gate.take_calls()
    return rows


def put_to_rest(
    gate: TracedGate, parent: Instance, *targets: str, needs: int | None = None
) -> None:
    assert gate.begin_wait(parent, 1, "0:1", targets, needs).state == "waiting"
    assert gate.suspend(parent.id, 1)
    assert place_of(gate, parent.id) == ("suspended", 1)


def asleep_for(gate: TracedGate, target: str, count: int) -> None:
    """So many wait for this one to end."""
    run_as_first(gate, target)
    wait = Wait(WaitKind.ENDED, 1, "0:1", targets=(target,), needs=1)
    for start in range(0, count, 500):
        names = [f"i{number}" for number in range(start, min(count, start + 500))]
        gate.adopt([row_of(spawn_of(id=one), State.WAITING, 1, wait=wait) for one in names])
        gate.take_calls()
    assert gate.held() == 1


def place_of(gate: TracedGate, name: str) -> tuple[str, int]:
    found = gate.glance(name)
    return found.place, found.attempt


def test_one_that_waits_holds_no_slot_and_no_lease(gate: TracedGate) -> None:
    parent, _child = run_as_first(gate, "parent", "child")
    put_to_rest(gate, parent, "child")
    assert gate.held() == 1
    gate.clock.advance(1_000 * LEASE)
    gate.heartbeat("worker", "default", 10, [("parent", 1)])
    gate.clock.advance(1_000 * LEASE)
    gate.sweep(100, 30.0)
    assert place_of(gate, "parent") == ("suspended", 1)


def test_the_last_end_wakes_a_parent_ahead_of_new_work(gate: TracedGate) -> None:
    parent, *_ = run_as_first(gate, "parent", "first", "second")
    put_to_rest(gate, parent, "first", "second")
    gate.heartbeat("worker", "default", 0, [])
    new = spawn_of(id="new")
    gate.check_in(new, "queue")
    gate.follow(new)
    gate.release("first", 1)
    assert place_of(gate, "parent") == ("suspended", 1)
    gate.release("second", 1)
    found = gate.explain("parent")
    assert found is not None
    assert found.line is not None
    assert (found.line.before_in_flow, found.line.flow_length) == (0, 2)


@pytest.mark.parametrize("end", ["release", "cancel", "forget", "tell_ended"])
def test_every_way_to_end_wakes(gate: TracedGate, end: str) -> None:
    parent, _child = run_as_first(gate, "parent", "child")
    put_to_rest(gate, parent, "child")
    {
        "release": lambda: gate.release("child", 1),
        "cancel": lambda: gate.cancel(["child"]),
        "forget": lambda: gate.forget("child", 1),
        "tell_ended": lambda: gate.tell_ended(["child"]),
    }[end]()
    assert place_of(gate, "parent") == ("dispatched", 2)


def test_what_is_tried_again_has_not_ended(gate: TracedGate) -> None:
    parent, child = run_as_first(gate, "parent", "child")
    put_to_rest(gate, parent, "child")
    gate.requeue(child, 1)
    gate.suspend("child", 2)
    gate.release("child", 1, ended=False)
    gate.forget("child", 1, ended=False)
    assert place_of(gate, "parent") == ("suspended", 1)


@pytest.mark.parametrize("known_by", ["gate", "postgresql", "both"])
def test_an_end_before_the_sleep_is_not_missed(gate: TracedGate, known_by: str) -> None:
    parent, *_ = run_as_first(gate, "parent", "first", "second")
    if known_by == "postgresql":
        gate.release("first", 1)
    gate.begin_wait(parent, 1, "0:1", ["first", "second"])
    if known_by != "postgresql":
        gate.release("first", 1)
    gate.suspend("parent", 1, ended=[] if known_by == "gate" else ["first"])
    assert place_of(gate, "parent") == ("suspended", 1)
    gate.release("second", 1)
    assert place_of(gate, "parent") == ("dispatched", 2)


@pytest.mark.parametrize("hint", ["ready", "wake", "over"])
def test_what_is_here_already_is_not_slept_for(gate: TracedGate, hint: str) -> None:
    parent, _child = run_as_first(gate, "parent", "child")
    gate.begin_wait(parent, 1, "0:1", ["child"])
    if hint == "over":
        gate.release("child", 1)
    if hint == "wake":
        gate.wake(["parent"])
    gate.suspend("parent", 1, ready=hint == "ready")
    assert place_of(gate, "parent") == ("dispatched", 2)


def test_a_lost_reply_may_be_asked_for_again(gate: TracedGate) -> None:
    parent, _child = run_as_first(gate, "parent", "child")
    put_to_rest(gate, parent, "child")
    gate.heartbeat("worker", "default", 0, [])
    for _ in range(2):
        assert gate.suspend("parent", 1)
        gate.tell_ended(["child"])
        assert place_of(gate, "parent") == ("queued", 1)
    gate.heartbeat("worker", "default", 10, [])
    assert not gate.suspend("parent", 1)
    assert place_of(gate, "parent") == ("dispatched", 2)


def test_a_timer_is_told_of_and_fires(gate: TracedGate) -> None:
    first, second = run_as_first(gate, "first", "second")
    put_to_rest(gate, first, "x")
    gate.begin_wait(second, 1, "0:1", ["x"])
    gate.suspend("second", 1, wake_in=7.0)
    assert gate.heartbeat("worker", "default", 10, []).next_due == 7.0
    found = gate.explain("second")
    assert found is not None
    assert found.until == (gate.clock.now + 7_000) / 1000
    gate.clock.advance(6.999)
    gate.heartbeat("worker", "default", 10, [])
    assert place_of(gate, "second") == ("suspended", 1)
    gate.clock.advance(0.001)
    assert gate.heartbeat("worker", "default", 10, []).next_due is None
    assert place_of(gate, "second") == ("dispatched", 2)
    assert place_of(gate, "first") == ("suspended", 1)


def test_a_deadlock_is_told_to_the_next_attempt_of_its_victim(gate: TracedGate) -> None:
    gate.set_fields({"victim": "youngest"})
    old, young = run_as_first(gate, "i1", "i2")
    put_to_rest(gate, young, "i1")
    assert gate.begin_wait(old, 1, "0:3", ["i2"]).state == "waiting"
    assert place_of(gate, "i2") == ("dispatched", 2)
    for _ in range(2):
        assert gate.begin_wait(young, 2, "0:1", ["i1"]).state == "deadlock"
    # It caught that, and waits for something else now.
    gate.suspend("i2", 2)
    assert place_of(gate, "i2") == ("suspended", 2)


def test_a_lock_is_given_to_one_that_is_away_and_kept_while_it_is(gate: TracedGate) -> None:
    holder, waiter = run_as_first(gate, "i1", "i2")
    held = gate.take_lock(holder, 1, "0:0", "repo")
    assert gate.take_lock(waiter, 1, "0:4", "repo").state == "waiting"
    gate.suspend("i1", 1)
    gate.suspend("i2", 1)
    gate.wake(["i1"])
    assert gate.take_lock(holder, 2, "0:0", "repo") == held
    gate.free_lock(holder, "0:0", "repo")
    assert place_of(gate, "i2") == ("dispatched", 2)
    given = gate.take_lock(waiter, 2, "0:4", "repo")
    assert given.state == "held"
    assert given.token > held.token


def test_who_loses_its_attempt_lets_go_of_what_it_held(gate: TracedGate) -> None:
    holder, waiter = run_as_first(gate, "i1", "i2")
    gate.take_lock(holder, 1, "0:0", "repo")
    gate.take_lock(waiter, 1, "0:4", "repo")
    gate.suspend("i1", 1)
    gate.suspend("i2", 1)
    gate.wake(["i1"])
    gate.clock.advance(DISPATCH)
    gate.sweep(10, 30.0)
    assert place_of(gate, "i1") == ("expired", 2)
    assert gate.take_lock(waiter, 2, "0:4", "repo").state == "held"


def test_ten_thousand_wait_for_one(gate: TracedGate) -> None:
    asleep_for(gate, "target", MANY)
    gate.release("target", 1)
    assert gate.held() == MANY
    assert len(gate.take_calls()) > MANY / BOUND


def test_what_a_dead_caller_left_is_gone_on_with(gate: TracedGate) -> None:
    asleep_for(gate, "target", 300)
    assert gate._run("release", id="target", attempt=1, ended=1) == 1
    assert 0 < gate.held() < BOUND
    assert gate.heartbeat("worker", "default", 2 * MANY, []).more
    gate.pump()
    assert gate.held() == 300


def test_an_emptied_gate_knows_again_who_waits_for_what(gate: TracedGate) -> None:
    rows = run_as_first(gate, "i1", "i2", "i3", "i4")
    token = gate.take_lock(rows[0], 1, "0:0", "repo").token
    gate.redis.flushall()
    gate.open(WIDE)
    gate.heartbeat("worker", "default", 10, [])
    lock = (KeptLock("repo", "0:0", token),)
    first = Wait(WaitKind.ENDED, 1, "0:1", targets=("i3", "i4"), needs=2, locks=lock)
    second = Wait(WaitKind.LOCK, 1, "0:1", name="repo")
    held = row_of(spawn_of(id="i5"), State.QUEUED, 0, depends_on=Dependencies(("i1", "i4")))
    waiting = [
        row_of(spawn_of(id=name), State.WAITING, 1, wait=wait)
        for name, wait in (("i1", first), ("i2", second))
    ]
    gate.begin_rebuild("again", 60.0)
    gate.adopt([*waiting, held, rows[2]])
    gate.tell_ended(["i4"])
    assert [place_of(gate, one)[0] for one in ("i1", "i2", "i5")] == [
        "suspended",
        "suspended",
        "held",
    ]
    gate.release("i3", 1)
    assert gate.take_lock(rows[0], 2, "0:0", "repo").token == token
    gate.release("i1", 2)
    assert [place_of(gate, one) for one in ("i2", "i5")] == [("dispatched", 2), ("dispatched", 1)]


def test_what_is_about_to_sleep_or_woken_already_is_left_alone(gate: TracedGate) -> None:
    parent, _child = run_as_first(gate, "parent", "child")
    row = row_of(spawn_of(id="parent"), State.WAITING, 1, wait=Wait(WaitKind.MESSAGE, 0))
    gate.adopt([row])
    assert place_of(gate, "parent") == ("dispatched", 1)
    put_to_rest(gate, parent, "child")
    gate.heartbeat("worker", "default", 0, [])
    gate.release("child", 1)
    gate.adopt([row])
    assert place_of(gate, "parent") == ("queued", 1)


def test_a_late_release_takes_nothing_from_one_that_sleeps(gate: TracedGate) -> None:
    parent, _child = run_as_first(gate, "parent", "child")
    put_to_rest(gate, parent, "child")
    gate.release("parent", 1, ended=False)
    assert place_of(gate, "parent") == ("suspended", 1)
    gate.release("parent", 1)
    assert place_of(gate, "parent") == ("", 0)


def test_a_spawn_is_held_until_others_have_ended(gate: TracedGate) -> None:
    run_as_first(gate, "a", "b")
    news = [spawn_of(id=f"n{number}") for number in range(3)]
    verdicts = gate.check_in_many(news, ["refuse"] * 3, {new.id for new in news})
    assert [verdict.decision for verdict in verdicts] == ["queued"] * 3
    edges = [(news[0], ["a", "b"], 2), (news[1], ["n0"], 1), (news[2], [], 0)]
    for _ in range(2):
        assert gate.hold_many(edges)[:2] == ["held", "held"]
    assert place_of(gate, "n2") == ("dispatched", 1)
    gate.cancel(["a"])
    gate.release("b", 1)
    assert place_of(gate, "n0") == ("dispatched", 1)
    assert gate.backlog() == 1
    gate.cancel(["n1"])
    assert place_of(gate, "n1") == ("", 0)


def test_a_cancelled_one_is_gone_at_once_wherever_it_is(gate: TracedGate) -> None:
    first, second = run_as_first(gate, "first", "second")
    put_to_rest(gate, first, "x")
    gate.cancel(["first", "second"])
    assert place_of(gate, "first") == ("", 0)
    # Its code had left before it could be told.
    assert gate.suspend(second.id, 1)
    assert place_of(gate, "second") == ("", 0)
