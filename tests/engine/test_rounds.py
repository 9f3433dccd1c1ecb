"""Danger: housekeeping does nothing, or something wrong, and nobody can tell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from orchestrator.config.settings import Settings
from orchestrator.domain.errors import StoreUnavailable
from orchestrator.domain.report import Report
from orchestrator.engine import rounds, sweep, tidy
from orchestrator.engine.deps import Deps
from orchestrator.engine.rounds import run_round
from tests.engine.bench import DISPATCH, Bench
from workers.jobs import JOBS, periods
from workers.schedule import schedule


def reports(*given: Report) -> Callable[[Deps], Report]:
    """A job that answers these, one a turn."""
    left = list(given)
    return lambda _deps: left.pop(0)


def test_a_round_is_told_with_its_sums(bench: Bench) -> None:
    # Given an attempt of a dead worker
    bench.begin(bench.spawn(), "dead")
    bench.advance(DISPATCH + 1)
    # When one sweeps twice
    assert run_round(bench.deps, "beat-1", "sweep", 5.0, sweep.run_once) == Counter(
        expired=1, requeued=1
    )
    bench.advance(5)
    assert run_round(bench.deps, "beat-2", "sweep", 5.0, sweep.run_once) == Counter()
    # Then the last round, all of them, and the one that did something are told of
    [job] = bench.deps.store.housekeeping.jobs()
    assert (job.job, job.period, job.process, job.rounds) == ("sweep", 5.0, "beat-2", 2)
    assert (job.counts, job.totals) == ({}, {"expired": 1, "requeued": 1})
    [past] = bench.deps.store.housekeeping.rounds()
    assert (past.process, past.counts) == ("beat-1", {"expired": 1, "requeued": 1})


def test_sums_grow(bench: Bench) -> None:
    for number, report in enumerate([Report("x", failed=2), Report("x", failed=1, moved=4)]):
        bench.advance(5)
        assert run_round(bench.deps, f"beat-{number}", "x", 5.0, reports(report)) is not None
    [job] = bench.deps.store.housekeeping.jobs()
    assert (job.counts, job.totals) == ({"failed": 1, "moved": 4}, {"failed": 3, "moved": 4})


def test_a_round_goes_on_while_there_is_more(bench: Bench) -> None:
    job = reports(Report("x", moved=1, more=True), Report("x", moved=2))
    assert run_round(bench.deps, "beat", "x", 5.0, job) == Counter(moved=3)


def test_a_round_is_bounded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "MOST_TURNS", 3)
    counts = run_round(bench.deps, "beat", "x", 5.0, lambda _: Report("x", moved=1, more=True))
    assert counts == Counter(moved=3)


def test_a_round_that_another_has_begun_is_left_to_it(bench: Bench) -> None:
    assert bench.deps.gate.begin_round("x", 5.0)
    assert run_round(bench.deps, "beat", "x", 5.0, reports()) is None
    assert bench.deps.store.housekeeping.jobs() == []


def test_a_round_that_cannot_be_told_of_is_done_all_the_same(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise StoreUnavailable("STORE_UNAVAILABLE", "away")

    monkeypatch.setattr(bench.deps.store.housekeeping, "record", away)
    assert run_round(bench.deps, "beat", "x", 5.0, reports(Report("x", moved=1))) is not None


def test_old_rounds_are_removed(bench: Bench) -> None:
    run_round(bench.deps, "beat", "x", 5.0, reports(Report("x", moved=1)))
    assert tidy.run_once(bench.deps).removed == 0
    with bench.deps.store.database.connection() as connection:
        connection.execute("UPDATE housekeeping_rounds SET ended_at = now() - interval '31 days'")
    assert tidy.run_once(bench.deps).removed == 1
    assert bench.deps.store.housekeeping.rounds() == []


def test_every_job_is_started_by_beat() -> None:
    settings = Settings(gate_shards=2)
    assert list(schedule(settings)) == [job.name for job in JOBS] == list(periods(settings))
    assert "balance" not in schedule(Settings())
