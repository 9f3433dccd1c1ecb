"""Danger: a seed that found something does not find it again."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.chaos import plan
from tests.chaos.inflict import _DEATHS, _SERVERS, Suffered
from tests.chaos.plan import Fault
from tests.chaos.run import VICTIMS
from tests.chaos.times import measure, quantiles
from tests.support.proxy import Proxy

START = datetime(2026, 1, 1, tzinfo=UTC)


def first(seed: int, count: int) -> list[Fault]:
    return list(itertools.islice(plan.faults(seed, VICTIMS), count))


def test_a_seed_is_a_plan() -> None:
    assert first(7, 300) == first(7, 300)
    assert first(7, 300) != first(8, 300)


def test_a_plan_can_be_kept(tmp_path: Path) -> None:
    plan.save(tmp_path / "plan", first(7, 50))
    assert plan.load(tmp_path / "plan") == first(7, 50)


@pytest.mark.parametrize("seed", range(5))
def test_a_short_run_sees_every_kind(seed: int) -> None:
    found = first(seed, len(plan.KINDS))
    assert sorted(one.kind for one in found) == sorted(plan.KINDS)
    assert found[-1].at < 120


def test_every_kind_can_be_done() -> None:
    assert set(_DEATHS) == set(plan.DEATHS)
    assert set(_SERVERS) == set(plan.SERVERS)
    assert all(callable(getattr(Proxy, kind)) for kind in plan.NETWORKS)


def test_times_are_those_of_the_trail() -> None:
    """A worker is killed at 1 s, that is noticed at 4 s, and its instance runs again at 5 s."""
    states = [(0, "queued", None), (0.5, "running", "w"), (4, "queued", None), (5, "running", "v")]
    events = [
        {
            "instance_id": "a",
            "at": START + timedelta(seconds=at),
            "to_state": state,
            "from_state": "running" if at == 4 else "queued",
            "worker": worker,
            "reason": "LEASE_EXPIRED" if at == 4 else None,
        }
        for at, state, worker in states
    ]
    begun = START.timestamp() + 1
    killed = Suffered(Fault(1.0, "kill", "worker-0"), begun, begun)
    cut = replace(killed, fault=Fault(1.0, "cut", "worker-0"), over=begun + 1.5)

    times = measure([killed, cut], events, lambda *_: "w")

    assert (times["kill"].noticed, times["kill"].again) == ([3.0], [4.0])
    assert measure([killed], events, lambda *_: "v")["kill"].noticed == []
    assert (times["cut"].count, times["cut"].going_on) == (1, [2.5])
    assert quantiles(times["kill"].noticed) == "3.0 / 3.0 / 3.0"
    assert quantiles([]) == "-"
