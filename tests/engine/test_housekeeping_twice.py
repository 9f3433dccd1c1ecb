"""Several beats run: each round of housekeeping happens once, and each place is judged once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier

import pytest

from orchestrator import bootstrap
from orchestrator.config.settings import Settings
from orchestrator.domain.lifecycle import State
from orchestrator.domain.report import Report
from orchestrator.engine import reap, rebuild, reconcile, sweep
from orchestrator.engine.deps import Deps
from tests.engine.bench import CLOCK, DISPATCH, Bench
from tests.support.make import spawn_of

BEATS = 4


@pytest.fixture
def beats(wide: Settings, bench: Bench) -> Iterator[list[Deps]]:
    """As many processes that keep house, each with connections of its own."""
    beats = [bootstrap.build(wide, clock=CLOCK) for _ in range(BEATS)]
    yield [replace(deps, catalogue=bench.deps.catalogue) for deps in beats]
    for deps in beats:
        bootstrap.close(deps)


def at_once(beats: list[Deps], job: Callable[[Deps], Report]) -> list[Report]:
    """The reports of all, begun at the same moment."""
    barrier = Barrier(len(beats), timeout=20)

    def begin(deps: Deps) -> Report:
        deps.store.clock()  # connected before the start
        deps.gate.now()
        barrier.wait()
        return job(deps)

    with ThreadPoolExecutor(len(beats)) as threads:
        return list(threads.map(begin, beats))


def total(reports: list[Report]) -> Counter[str]:
    sums: Counter[str] = Counter()
    for report in reports:
        sums.update({name: value for name, value in report.to_dict().items() if type(value) is int})
    return sums


def test_two_sweeps_judge_each_place_once(bench: Bench, beats: list[Deps]) -> None:
    # Given 20 attempts of a dead worker, and 10 places without a row
    running = [bench.spawn() for _ in range(20)]
    for one in running:
        bench.begin(one, "dead")
    for _ in range(10):
        bench.deps.gate.check_in(spawn_of(agent="add"), "queue")
    bench.advance(DISPATCH + 1)
    # When all sweep at once
    sums = total(at_once(beats, sweep.run_once))
    # Then each was judged exactly once
    assert (sums["expired"], sums["requeued"], sums["forgotten"]) == (30, 20, 10)
    for one in running:
        assert [state for state, _ in bench.trail(one)] == ["queued", "running", "queued"]
        assert bench.row(one).failures == 1
    assert bench.deps.gate.held() == 0


def test_a_claim_that_nobody_judged_is_shown_again(bench: Bench) -> None:
    one = bench.spawn()
    bench.advance(DISPATCH + 1)
    assert bench.deps.gate.sweep(100, sweep.HOLD).expired == ((one, 1, ""),)
    assert sweep.run_once(bench.deps).expired == 0
    bench.advance(sweep.HOLD + 1)
    assert sweep.run_once(bench.deps).requeued == 1


def test_more_than_one_sweep_can_do_is_said(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "BUDGET", 3)
    for _ in range(5):
        bench.spawn()
    bench.advance(DISPATCH + 1)
    reports = [sweep.run_once(bench.deps) for _ in range(3)]
    assert [report.expired for report in reports] == [3, 2, 0]
    assert reports[0].more
    assert not reports[-1].more


def test_a_sweep_of_a_healthy_gate_changes_nothing(bench: Bench) -> None:
    bench.begin(bench.spawn())
    bench.spawn(pool="gpu")
    before = bench.state()
    assert sweep.run_once(bench.deps) == Report("sweep")
    assert bench.state() == before


def test_many_reapers_end_each_orphan_once(bench: Bench, beats: list[Deps]) -> None:
    parent = bench.begun_parent()
    children = [bench.spawn(parent=replace(parent, position=position)) for position in range(12)]
    with bench.deps.store.database.transaction() as connection:
        connection.execute("SET LOCAL session_replication_role = replica")
        connection.execute(
            "UPDATE instances SET state = 'failed', ended_at = now() WHERE id = %s", (parent.id,)
        )
    assert total(at_once(beats, reap.run_once))["orphans"] == 12
    for one in children:
        assert bench.trail(one) == [("queued", None), ("cancelled", "PARENT_ENDED")]
    # What was handed out gives its slot back when its message is read.
    for message in bench.take_messages():
        bench.execute(*message)
    assert bench.deps.gate.held() == 0


def test_many_reconcilers_make_each_place_once(bench: Bench, beats: list[Deps]) -> None:
    news = [spawn_of(agent="add", args='{"a": 1}') for _ in range(12)]
    for new in news:
        bench.deps.store.record(new)
    at_once(beats, reconcile.run_once)
    messages = bench.take_messages()
    assert sorted(messages) == sorted((new.id, 1) for new in news)
    assert bench.deps.gate.held() == 12


def test_the_reconciler_walks_in_pages(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconcile, "PAGE", 2)
    for _ in range(5):
        bench.deps.store.record(spawn_of(agent="add"))
    assert reconcile.run_once(bench.deps) == Report("reconcile", adopted=5)


def test_a_reconcilers_turn_is_bounded_and_the_next_goes_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconcile, "PAGE", 2)
    monkeypatch.setattr(reconcile, "PAGES", 1)
    for _ in range(5):
        bench.deps.store.record(spawn_of(agent="add"))
    reports = [reconcile.run_once(bench.deps) for _ in range(4)]
    assert [report.adopted for report in reports] == [2, 2, 1, 0]
    # The fourth begins anew.
    assert [report.more for report in reports] == [True, True, False, True]


def test_the_reconciler_leaves_alone_what_the_gate_knows_better(bench: Bench) -> None:
    """Handed out or running as a newer attempt than the row tells: that is the gate's business."""
    bench.begin(bench.spawn())
    bench.spawn()
    bench.spawn(pool="gpu")
    before = bench.state()
    assert reconcile.run_once(bench.deps) == Report("reconcile")
    assert bench.state() == before


def test_a_reconciled_retry_waits_for_the_rest_of_its_delay(bench: Bench) -> None:
    new = spawn_of(agent="add", args='{"a": 1}')
    bench.deps.store.record(new)
    bench.deps.store.begin(new.id, 1, "dead")
    bench.deps.store.hand_back(new.id, 1, "RETRY", failed=True, delay=50)
    assert reconcile.run_once(bench.deps).adopted == 1
    assert bench.places(new.id) == ["delayed"]
    bench.advance(51)
    bench.offer()
    assert bench.take_messages() == [(new.id, 2)]


@pytest.mark.parametrize("job", ["sweep", "reap"])
def test_a_round_is_begun_by_one(bench: Bench, beats: list[Deps], job: str) -> None:
    def claim(deps: Deps) -> Report:
        return Report(job, expired=int(deps.gate.begin_round(job, 60.0)))

    for _ in range(3):
        assert total(at_once(beats, claim))["expired"] == 1
        bench.advance(60)


def test_rounds_of_other_jobs_are_their_own(bench: Bench) -> None:
    gate = bench.deps.gate
    assert [gate.begin_round(job, 60.0) for job in ("sweep", "reap", "sweep")] == [
        True,
        True,
        False,
    ]


class TestRebuild:
    """Filling an empty gate is such a job too."""

    def test_it_happens_once(self, bench: Bench, beats: list[Deps]) -> None:
        ids = [bench.spawn(pool="gpu") for _ in range(30)]
        bench.deps.gate.redis.flushall()
        reports = at_once(beats, rebuild.run_once)
        assert sorted(report.adopted for report in reports) == [0, 0, 0, 30]
        assert bench.places(*ids) == ["queued"] * 30
        assert bench.deps.gate.backlog() == 30

    def test_an_open_gate_is_left_alone(self, bench: Bench) -> None:
        bench.spawn()
        before = bench.state()
        assert rebuild.run_once(bench.deps) == Report("rebuild")
        assert bench.state() == before

    def test_a_rebuilder_that_died_is_followed_by_another(self, bench: Bench) -> None:
        one = bench.spawn(pool="gpu")
        bench.deps.gate.redis.flushall()
        assert bench.deps.gate.begin_rebuild("dead", hold=0.01) == "yours"
        # The call waits for the dead one's claim to run out and does the work itself.
        assert bench.places(one) == ["queued"]

    def test_a_redis_emptied_in_the_middle_is_begun_anew(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(rebuild, "PAGE", 2)
        ids = [bench.spawn(pool="gpu") for _ in range(5)]
        bench.deps.gate.redis.flushall()
        adopt, pages = bench.deps.gate.adopt, []

        def emptied_once(page: list[object]) -> None:
            adopt(page)  # type: ignore[arg-type]  # rows, passed through
            pages.append(page)
            if len(pages) == 2:
                bench.deps.gate.redis.flushall()

        monkeypatch.setattr(bench.deps.gate, "adopt", emptied_once)
        rebuild.run_once(bench.deps)
        assert bench.places(*ids) == ["queued"] * 5
        assert bench.row(ids[0]).state is State.QUEUED
