"""R10: Redis loses everything; what PostgreSQL knows is as before, in the same order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from orchestrator.admission.keys import key
from orchestrator.domain.instance import Instance
from orchestrator.domain.lifecycle import Reason, State
from orchestrator.domain.waits import Wait, WaitKind
from orchestrator.engine import sweep
from orchestrator.engine.execute import execute
from orchestrator.engine.running import Run
from orchestrator.store.store import Ending
from tests.engine.bench import LEASE, Bench, gate_state
from tests.support.make import parent_of, spawn_of
from tests.support.waiting import wait_until

#: What is counted anew in an emptied Redis, and who is there to run: that workers tell themselves.
_ANEW = (
    *("generation", "sequence", "workers", "worker", "capacity", "queue", "pools"),
    *("shares", "means", "drained", "locks_closed"),
)
#: And what is only true of one stay in line, or of one holding of a slot.
_OF_A_STAY = {"sequence", "since", "line", "class", "held_since", "charge", "spent", "lost_at"}


def known(bench: Bench) -> dict[str, Any]:
    """What the gate knows, without times: a lease is as good as it lasts."""
    gone = tuple(key(bench.deps.gate.name, name) for name in _ANEW)
    return {
        name: _order(value)
        for name, value in gate_state(bench.deps).items()
        if not name.startswith(gone)
    }


def _order(value: Any) -> Any:
    """Of a sorted set, the order only; of an instance, what outlasts where it is."""
    if isinstance(value, dict):
        return {name: one for name, one in value.items() if name not in _OF_A_STAY}
    return [member for member, _ in value] if value and isinstance(value, list) else value


def later(bench: Bench, **fields: Any) -> str:
    """A spawn that is surely younger than those before: ids sort by the millisecond."""
    now = bench.deps.store.clock()
    wait_until(
        lambda: (bench.deps.store.clock() - now).total_seconds() > 0.001, "a millisecond is over"
    )
    return bench.spawn(**fields)


def lose_everything(bench: Bench) -> None:
    bench.deps.gate.redis.flushall()
    bench.advance(0)


def asleep_for(bench: Bench, parent: Instance, children: list[str]) -> None:
    """A running parent falls asleep until all of these have ended."""
    bench.deps.gate.begin_wait(parent, 1, "0:1", children)
    wait = Wait(WaitKind.ENDED, 1, "0:1", targets=tuple(children), needs=len(children))
    bench.deps.store.journal.suspend(parent.id, 1, Reason.WAITING_FOR_CHILDREN, wait, ())
    assert bench.deps.gate.suspend(parent.id, 1)


def test_slots_and_queues_are_as_before(bench: Bench) -> None:
    # Given a tree with everything in it: running, waiting, queued, delayed, in several flows
    bench.offer(4)
    parent = bench.begin(later(bench, session="s", tenant="t"))
    child = bench.begin(later(bench, parent=parent_of(parent)))
    bench.deps.store.park(parent.id, 1)
    bench.deps.gate.suspend(parent.id, 1, "bench")
    retried = bench.begin(later(bench))
    bench.deps.store.hand_back(retried.id, 1, "RETRY", failed=True, delay=500)
    bench.deps.gate.requeue(bench.row(retried.id), 1, 500.0)
    bench.begin(later(bench, session="s2", tenant="t"))
    bench.offer(0)
    for number in range(6):
        later(bench, session=f"s{number % 2}", tenant="t", priority=["low", "high"][number % 2])
    later(bench, pool="gpu")
    before = known(bench)
    # When Redis is emptied
    lose_everything(bench)
    # Then the first call finds it filled again
    assert bench.places(parent.id, child.id, retried.id) == ["suspended", "dispatched", "delayed"]
    assert known(bench) == before
    assert bench.deps.gate.held() == 2


def test_the_line_moves_on_in_the_same_order(bench: Bench) -> None:
    """Urgent first, then those that have run before, then by age."""
    bench.offer(1)
    holder = bench.begin(later(bench))
    bench.offer(0)
    line = {
        name: later(bench, priority=name, session="s")
        for name in ("background", "normal", "high", "low", "critical")
    }
    second = later(bench, priority="high", session="s")
    bench.deps.store.hand_back(holder.id, 1, "WORKER_STOPPED")
    bench.deps.gate.requeue(bench.row(holder.id), 1)
    lose_everything(bench)
    bench.offer(100)
    assert [one for one, _ in bench.take_messages()] == [
        line["critical"],
        line["high"],
        second,
        holder.id,
        line["normal"],
        line["low"],
        line["background"],
    ]


def test_what_was_handed_out_but_not_begun_runs_once(bench: Bench) -> None:
    """The gate hands it out again; both messages arrive, and the second finds nothing."""
    one = bench.spawn()
    [first] = bench.take_messages()
    lose_everything(bench)
    bench.offer()
    [second] = bench.take_messages()
    assert first == second == (one, 1)
    assert bench.execute(*first).state is State.COMPLETED
    before = bench.state()
    bench.execute(*second)
    assert bench.state() == before


@pytest.mark.parametrize("ended", [0, 1, 2])
def test_who_waits_is_woken_by_the_last_it_waits_for(bench: Bench, ended: int) -> None:
    """Some of them had ended before; nobody is handed out while the gate is being filled."""
    parent = bench.begin(bench.spawn("echo"))
    children = [bench.begin(later(bench, parent=parent_of(parent, n))).id for n in range(2)]
    asleep_for(bench, parent, children)
    for child in children[:ended]:
        bench.deps.store.settle(child, 1, Ending(State.COMPLETED, result="1"))
    lose_everything(bench)
    expected = "queued" if ended == 2 else "suspended"
    assert bench.places(parent.id) == [expected]
    assert bench.take_messages() == []
    # The gate hears of the rest as ever
    for child in children[ended:]:
        bench.deps.store.settle(child, 1, Ending(State.COMPLETED, result="1"))
        bench.deps.gate.release(child, 1)
    bench.offer()
    assert bench.take_messages() == [(parent.id, 2)]


def test_who_starts_after_one_that_has_ended_is_in_line(bench: Bench) -> None:
    first, other = bench.spawn(), later(bench, pool="gpu")
    after = later(bench, after=[first, other])
    bench.execute(first)
    lose_everything(bench)
    assert bench.places(first, other, after) == ["", "queued", "held"]
    bench.deps.store.cancel([other], "CANCELLED", "PARENT_ENDED")
    lose_everything(bench)
    assert bench.places(after) == ["queued"]


def test_a_run_goes_on_and_its_worker_keeps_its_slot(bench: Bench) -> None:
    run = Run(bench.begin(bench.spawn()))
    with bench.running.entered(run):
        lose_everything(bench)
        for _ in range(3):
            bench.beat()
            bench.advance(LEASE - 1)
        assert bench.deps.gate.held() == 1
        run.check()


def test_a_run_whose_worker_died_with_redis_runs_again(bench: Bench) -> None:
    one = bench.begin(bench.spawn(), "dead").id
    lose_everything(bench)
    assert bench.places(one) == ["dispatched"]
    bench.advance(LEASE + 1)
    assert sweep.run_once(bench.deps).requeued == 1
    bench.offer()
    assert bench.execute(one, 2).state is State.COMPLETED


def test_a_spawn_between_check_in_and_record_loses_only_its_slot(bench: Bench) -> None:
    new = spawn_of(agent="add", args='{"a": 1}')
    bench.deps.gate.check_in(new, "queue")
    lose_everything(bench)
    bench.deps.store.record(new)
    bench.deps.gate.follow(new)
    bench.offer()
    assert bench.take_messages() == [(new.id, 1)]


def test_an_ended_run_that_nobody_released_holds_no_slot_any_more(bench: Bench) -> None:
    one = bench.spawn()
    execute(bench.deps, bench.host, one, 1)
    lose_everything(bench)
    assert bench.places(one) == [""]
    assert bench.deps.gate.held() == 0


def test_emptied_again_while_it_is_filled(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever fills it learns of that as of an empty one, and fills it anew."""
    one = bench.spawn()
    live_page, turns = bench.deps.store.live_page, iter("t")

    def emptied_meanwhile(*which: Any) -> Any:
        if next(turns, ""):
            lose_everything(bench)
        return live_page(*which)

    monkeypatch.setattr(bench.deps.store, "live_page", emptied_meanwhile)
    lose_everything(bench)
    bench.offer()
    assert bench.take_messages() == [(one, 1)]
    assert bench.deps.gate.held() == 1


@pytest.mark.parametrize("verb", ["spawn", "beat", "sweep", "cancel", "glance"])
def test_whoever_comes_first_fills_it(bench: Bench, verb: str) -> None:
    waiting = bench.spawn(pool="gpu")
    lose_everything(bench)
    verbs: dict[str, Callable[[], object]] = {
        "spawn": bench.spawn,
        "beat": bench.beat,
        "sweep": lambda: sweep.run_once(bench.deps),
        "cancel": lambda: bench.deps.gate.cancel(["nobody"]),
        "glance": lambda: bench.glance("nobody"),
    }
    verbs[verb]()
    assert bench.deps.gate.redis.zscore(key(bench.deps.gate.name, "backlog"), waiting) is not None


def test_the_rebuilt_gate_has_the_limits_of_its_rebuilder(bench: Bench) -> None:
    config = key(bench.deps.gate.name, "config")
    before = bench.deps.gate.redis.hgetall(config)
    bench.limit(session_concurrency=1)
    lose_everything(bench)
    bench.offer()
    assert bench.deps.gate.redis.hgetall(config) == before
