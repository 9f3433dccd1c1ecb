"""Each step of a spawn and of a run may be its process's last: nothing is lost or leaks."""

from __future__ import annotations

import pytest

from orchestrator.domain.ids import new_id
from orchestrator.domain.lifecycle import State
from orchestrator.domain.report import Report
from orchestrator.domain.retry import RetryPolicy
from orchestrator.engine import reap, reconcile, sweep
from orchestrator.engine.cancel import cancel
from orchestrator.store.store import Ending
from tests.engine.bench import DISPATCH, LEASE, Bench
from tests.support.make import parent_of, spawn_of


def sweep_later(bench: Bench, seconds: float = LEASE) -> Report:
    """The sweep, once everything that nobody renews has run out."""
    bench.advance(seconds + 1)
    bench.offer()
    return sweep.run_once(bench.deps)


class TestSpawn:
    """check in - record - follow."""

    @pytest.mark.parametrize("capacity", [100, 0], ids=["admitted", "reserved"])
    def test_checked_in_but_not_recorded(self, bench: Bench, capacity: int) -> None:
        bench.offer(capacity)
        before = bench.state()
        new = spawn_of(agent="add")
        bench.deps.gate.check_in(new, "queue")
        assert bench.places(new.id) == ["admitted" if capacity else "reserved"]
        report = sweep_later(bench)
        assert (report.expired, report.forgotten) == (1, 1)
        bench.offer(capacity)
        assert drop_times(bench.state()) == drop_times(before)

    @pytest.mark.parametrize("capacity", [100, 0], ids=["admitted", "reserved"])
    def test_recorded_but_not_followed(self, bench: Bench, capacity: int) -> None:
        """The sweep finds the place run out, or the reconciler the row without one."""
        bench.offer(capacity)
        new = spawn_of(agent="add", args='{"a": 1}')
        bench.deps.gate.check_in(new, "queue")
        assert bench.deps.store.record(new)
        report = sweep_later(bench)
        assert (report.expired, report.requeued) == (1, 1)
        bench.offer()
        assert bench.execute(new.id).state is State.COMPLETED
        assert bench.row(new.id).failures == 0

    def test_recorded_without_a_check_in(self, bench: Bench) -> None:
        """As by a caller's own transaction that nobody heard of."""
        news = [spawn_of(agent="add", args='{"a": 1}') for _ in range(3)]
        for new in news:
            assert bench.deps.store.record(new)
        assert reconcile.run_once(bench.deps) == Report("reconcile", adopted=3)
        assert sorted(bench.take_messages()) == sorted((new.id, 1) for new in news)
        assert reconcile.run_once(bench.deps) == Report("reconcile")

    def test_a_late_follow_finds_it_started_already(self, bench: Bench) -> None:
        """The spawner was only slow: the sweep has been faster."""
        new = spawn_of(agent="add", args='{"a": 1}')
        bench.deps.gate.check_in(new, "queue")
        bench.deps.store.record(new)
        sweep_later(bench)
        bench.deps.gate.follow(new)
        messages = bench.take_messages()
        assert len(messages) == 1
        assert bench.execute(*messages[0]).state is State.COMPLETED


class TestRun:
    """message - begin - settle - release."""

    def test_the_message_is_lost(self, bench: Bench) -> None:
        one = bench.spawn()
        [lost] = bench.take_messages()
        report = sweep_later(bench, DISPATCH)
        assert (report.expired, report.requeued, report.failed) == (1, 1, 0)
        [again] = bench.take_messages()
        assert (lost, again) == ((one, 1), (one, 2))
        # The lost message turns up after all.
        assert bench.execute(*lost).state is State.QUEUED
        assert bench.execute(*again).state is State.COMPLETED
        assert bench.row(one).failures == 0
        assert ("queued", "MESSAGE_LOST") in bench.trail(one)

    def test_the_worker_dies_after_begin(self, bench: Bench) -> None:
        one = bench.spawn()
        bench.take_messages()
        bench.begin(one, "doomed")
        assert sweep_later(bench, DISPATCH).requeued == 1
        row = bench.row(one)
        assert (row.state, row.reason, row.failures) == (State.QUEUED, "LEASE_EXPIRED", 1)
        assert bench.execute(*bench.take_messages()[0]).state is State.COMPLETED
        assert bench.deps.gate.held() == 0

    def test_the_worker_dies_at_the_last_attempt(self, bench: Bench) -> None:
        bench.agent("once", lambda _ctx: 1, retry=RetryPolicy.never())
        parent = bench.begin(bench.spawn("once"))
        queued, running = (bench.spawn(parent=parent_of(parent, position)) for position in range(2))
        bench.begin(running)
        bench.deps.gate.heartbeat("other", "default", 9, [(running, 1)])
        bench.advance(DISPATCH + 1)
        bench.deps.gate.heartbeat("other", "default", 9, [])
        report = sweep.run_once(bench.deps)
        assert report.failed >= 1
        for one in (parent.id, queued, running):
            assert bench.row(one).state.is_terminal
        assert bench.row(running).reason == "PARENT_ENDED"

    def test_settled_but_not_released(self, bench: Bench) -> None:
        bench.offer(1)
        one, waiting = bench.spawn(), bench.spawn()
        bench.begin(one)
        bench.deps.store.settle(one, 1, Ending(State.COMPLETED, result="1"))
        assert bench.deps.gate.held() == 1
        bench.advance(DISPATCH + 1)
        bench.offer(1)
        report = sweep.run_once(bench.deps)
        assert (report.expired, report.forgotten) == (1, 1)
        assert bench.places(one, waiting) == ["", "dispatched"]
        assert bench.row(one).state is State.COMPLETED

    def test_handed_back_but_not_requeued(self, bench: Bench) -> None:
        one = bench.spawn()
        bench.begin(one)
        bench.deps.store.hand_back(one, 1, "WORKER_STOPPED")
        assert sweep_later(bench, DISPATCH).requeued == 1
        assert bench.glance(one).attempt == 2
        assert bench.row(one).failures == 0

    def test_suspended_in_postgresql_but_not_in_the_gate(self, bench: Bench) -> None:
        one = bench.spawn()
        bench.begin(one)
        bench.deps.store.park(one, 1)
        assert sweep_later(bench, DISPATCH).requeued == 1
        assert bench.row(one).state is State.QUEUED

    def test_resumed_in_postgresql_but_not_in_the_gate(self, bench: Bench) -> None:
        one = bench.spawn()
        bench.begin(one)
        bench.deps.store.park(one, 1)
        bench.deps.gate.suspend(one, 1, "bench")
        bench.deps.store.resume(one, 1)
        assert sweep_later(bench, DISPATCH).requeued == 1
        assert bench.glance(one).attempt == 2


class TestEnd:
    """Rows end - the gate is told."""

    def test_cancelled_in_postgresql_alone(self, bench: Bench) -> None:
        """Those in line are met and dropped one by one; nothing of them runs."""
        bench.offer(1)
        ids = [bench.spawn() for _ in range(3)]
        bench.deps.store.cancel(ids, "CANCELLED", "PARENT_ENDED")
        for _ in ids:
            for message in bench.take_messages():
                bench.execute(*message)
        assert [bench.row(one).attempt for one in ids] == [0, 0, 0]
        assert bench.deps.gate.held() == 0
        assert bench.deps.gate.backlog() == 0

    def test_cancelled_in_postgresql_alone_while_no_worker_is_there(self, bench: Bench) -> None:
        """A dead queue place counts against the bounds of the queue: it must not stay."""
        bench.offer(0)
        one = bench.spawn()
        bench.deps.store.cancel([one], "CANCELLED", "PARENT_ENDED")
        bench.advance(3 * DISPATCH)
        sweep.run_once(bench.deps)
        reconcile.run_once(bench.deps)
        assert bench.deps.gate.backlog() == 0

    def test_a_repeated_cancellation_finishes_the_first(self, bench: Bench) -> None:
        """Redis was away between its two steps; the caller was told, and tries again."""
        bench.offer(0)
        one = bench.spawn()
        bench.deps.store.cancel([one], "CANCELLED", "PARENT_ENDED")
        cancel(bench.deps, one)
        assert bench.places(one) == [""]

    def test_an_expired_parent_whose_children_were_not_told(self, bench: Bench) -> None:
        """The sweep died after the rows had ended; its claim runs out and another goes on."""
        bench.agent("once", lambda _ctx: 1, retry=RetryPolicy.never())
        parent = bench.begin(bench.spawn("once"))
        child = bench.spawn(parent=parent_of(parent))
        bench.advance(DISPATCH + 1)
        claimed = bench.deps.gate.sweep(100, hold=30.0)
        for instance_id, attempt, _why in claimed.expired:
            bench.deps.store.expire(instance_id, attempt)
        assert bench.row(child).state is State.CANCELLED
        assert sweep.run_once(bench.deps).expired == 0  # still claimed
        bench.advance(31)
        assert sweep.run_once(bench.deps).forgotten == 2
        assert bench.places(parent.id, child) == ["", ""]
        assert bench.deps.gate.held() == 0


class TestReap:
    """Orphans made by hand: the promise must hold whatever happened."""

    @pytest.mark.parametrize("state", ["completed", "failed", "cancelled"])
    def test_what_lives_below_an_ended_parent_ends(
        self, bench: Bench, sql: object, state: str
    ) -> None:
        parent = bench.begin(bench.spawn())
        child = bench.begin(bench.spawn(parent=parent_of(parent)))
        queued = bench.spawn(parent=parent_of(parent, 1))
        grandchild = bench.spawn(parent=parent_of(child))
        end_by_force(bench, parent.id, state)
        assert reap.run_once(bench.deps) == Report("reap", orphans=3)
        for one in (child.id, queued, grandchild):
            row = bench.row(one)
            assert (row.state, row.reason) == (State.CANCELLED, "PARENT_ENDED")
        assert bench.glance(child.id).stop == "CANCELLED"
        assert reap.run_once(bench.deps) == Report("reap")

    def test_a_healthy_tree_is_left_alone(self, bench: Bench) -> None:
        parent = bench.begin(bench.spawn())
        bench.spawn(parent=parent_of(parent))
        before = bench.state()
        assert reap.run_once(bench.deps) == Report("reap")
        assert bench.state() == before

    def test_more_than_one_round_can_do_is_said(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(reap, "BUDGET", 2)
        parent = bench.begin(bench.spawn())
        for position in range(3):
            bench.spawn(parent=parent_of(parent, position))
        end_by_force(bench, parent.id, "failed")
        assert reap.run_once(bench.deps) == Report("reap", orphans=2, more=True)
        assert reap.run_once(bench.deps) == Report("reap", orphans=1)


def end_by_force(bench: Bench, instance_id: str, state: str) -> None:
    """End a row and nothing else, past every guard."""
    with bench.deps.store.database.transaction() as connection:
        connection.execute("SET LOCAL session_replication_role = replica")
        connection.execute(
            "UPDATE instances SET state = %s, ended_at = now() WHERE id = %s", (state, instance_id)
        )


def drop_times(state: dict[str, object]) -> dict[str, object]:
    """Without the expiry of the bench's own worker."""
    return {name: value for name, value in state.items() if not name.endswith(":workers")}


def test_what_never_was_is_no_error(bench: Bench) -> None:
    before = bench.state()
    bench.deps.gate.release(new_id(), 1)
    bench.deps.gate.forget(new_id(), 1)
    bench.deps.gate.withdraw([new_id()])
    bench.deps.gate.cancel([new_id()])
    assert bench.state() == before
