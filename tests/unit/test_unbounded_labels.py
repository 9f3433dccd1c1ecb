"""Danger: a label for each tenant there ever was fills the memory of whoever scrapes it."""

from __future__ import annotations

import random

import pytest
from prometheus_client import REGISTRY

from orchestrator.telemetry import instruments
from orchestrator.telemetry.instruments import MULTIPROCESS, OTHER, Busiest, Metric
from orchestrator.telemetry.metrics import CLUSTER, EVENTS


def test_only_so_many_are_told_apart() -> None:
    busiest = Busiest(most=3)
    names = [busiest.name_of(f"t{number}")[0] for number in range(100)]
    assert names[:3] == ["t0", "t1", "t2"]
    assert set(names[3:]) == {OTHER}


def test_a_busier_one_takes_the_place_of_the_least_busy() -> None:
    busiest = Busiest(most=2)
    for _ in range(10):
        busiest.name_of("a")
    busiest.name_of("b")
    told = [busiest.name_of("c") for _ in range(10)]
    assert told[0] == (OTHER, None)
    assert ("c", "b") in told
    assert told[-1] == ("c", None)
    assert busiest.name_of("a") == ("a", None)


def test_the_busiest_of_very_many_are_found() -> None:
    chance, busiest = random.Random(1), Busiest(most=10)
    for _ in range(20_000):
        heavy = chance.random() < 0.5
        busiest.name_of(f"heavy{chance.randrange(5)}" if heavy else f"t{chance.randrange(5_000)}")
    assert all(busiest.name_of(f"heavy{number}")[0] != OTHER for number in range(5))


def test_files_of_several_processes_keep_whom_they_know(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MULTIPROCESS, "somewhere")
    busiest = Busiest(most=1)
    busiest.name_of("a")
    assert {busiest.name_of("b")[0] for _ in range(50)} == {OTHER}


def test_who_is_displaced_is_not_scraped_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    instruments.switch_on()
    monkeypatch.setattr(instruments, "MOST_VALUES", 1)
    metric = Metric("orchestrator_test_total", "counter", "for this test", ("tenant",))
    metric._bounded = {0: Busiest(most=1)}
    metric.add("a")
    for _ in range(5):
        metric.add("b")

    def counted(tenant: str) -> float | None:
        return REGISTRY.get_sample_value("orchestrator_test_total", {"tenant": tenant})

    assert counted("a") is None
    assert (counted("b"), counted(OTHER)) == (3.0, 2.0)


def test_the_table_can_be_read_by_anybody() -> None:
    names = [one.name for one in (*EVENTS, *CLUSTER)]
    assert len(set(names)) == len(names)
    for one in (*EVENTS, *CLUSTER):
        assert one.name.startswith("orchestrator_")
        assert (one.kind == "counter") == one.name.endswith("_total")
        assert one.kind != "histogram" or one.name.endswith("_seconds")
        assert one.meaning
        # Prometheus gives every sample these two, and renames ours.
        assert not {"job", "instance"} & set(one.labels)
