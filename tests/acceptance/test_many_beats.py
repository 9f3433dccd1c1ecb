"""Danger: several beats do everything several times, or the death of one stops housekeeping."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.config.settings import Settings
from orchestrator.engine.deps import Deps
from orchestrator.store.housekeeping import JobStanding
from tests.support.processes import Program, programs
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(180)

#: Seconds between sweeps; one round of all beats in each.
PERIOD = 0.5


def sweeps(deps: Deps) -> JobStanding:
    return next(job for job in deps.store.housekeeping.jobs() if job.job == "sweep")


def test_three_beats_do_each_round_once_and_outlive_each_other(
    settings: Settings, deps: Deps, tmp_path: Path
) -> None:
    with programs(settings, tmp_path) as started:
        # Given three beats
        beats: list[Program] = [started.beat() for _ in range(3)]
        # Then together they do no more rounds than there are periods
        began, before = deps.gate.now(), sweeps(deps).rounds
        wait_until(lambda: sweeps(deps).rounds >= before + 6, "six more rounds")
        after, ended = sweeps(deps).rounds, deps.gate.now()
        assert after - before <= (ended - began) / 1000 / PERIOD + 2
        # When one after the other dies in the middle of its work, the rounds go on
        for dying in beats[:2]:
            dying.kill()
            rounds = sweeps(deps).rounds
            wait_until(lambda: sweeps(deps).rounds >= rounds + 3, "three more rounds")  # noqa: B023  # called at once
