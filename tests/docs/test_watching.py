"""Danger: an alert or a panel asks for a metric that is not there, and stays silent for ever."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from orchestrator.telemetry.instruments import Metric
from orchestrator.telemetry.metrics import CLUSTER, EVENTS
from tests.docs.pages import ROOT

WATCH = ROOT / "compose"
ALERTS = (WATCH / "prometheus" / "alerts.yaml").read_text()
DASHBOARD = json.loads((WATCH / "grafana" / "dashboards" / "orchestrator.json").read_text())
KNOWN = {one.name: one for one in (*EVENTS, *CLUSTER)}
#: What Prometheus itself adds.
OWN_LABELS = {"le", "job", "instance"}


def alerts() -> dict[str, dict[str, str]]:
    """The fields of each alert, as text."""
    _, *parts = re.split(r"^ +- alert: (\w+)$", ALERTS, flags=re.MULTILINE)
    return {
        name: dict(re.findall(r"^ +(expr|for|summary|runbook): (.*)$", text, re.MULTILINE))
        for name, text in zip(parts[::2], parts[1::2], strict=True)
    }


def queries() -> Iterator[tuple[str, str]]:
    """Everything that is asked of Prometheus, with where."""
    for name, alert in alerts().items():
        yield name, alert["expr"]
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


def metric_of(sample: str) -> Metric | None:
    """The metric that a sample belongs to."""
    for suffix in ("", "_bucket", "_count", "_sum"):
        found = KNOWN.get(sample.removesuffix(suffix) if suffix else sample)
        if found is not None and (not suffix or found.kind == "histogram"):
            return found
    return None


@pytest.mark.parametrize(("place", "query"), list(queries()))
def test_every_query_asks_for_what_there_is(place: str, query: str) -> None:
    named = re.findall(r"(orchestrator_\w+)(?:\{([^}]*)\})?", query)
    assert named or "up{" in query, place
    for sample, matchers in named:
        metric = metric_of(sample)
        assert metric is not None, f"{place}: {sample}"
        asked = set(re.findall(r"(\w+)=~?\"", matchers))
        assert asked <= {*metric.labels, *OWN_LABELS}, f"{place}: {sample}"
    labels = {label for _, one in named for label in one_of(named)}
    for group in re.findall(r"(?:by|on) \(([^)]*)\)", query):
        assert set(re.split(r", *", group)) <= labels | OWN_LABELS, place


def one_of(named: list[tuple[str, str]]) -> set[str]:
    """All labels of the metrics that a query names."""
    found: set[str] = set()
    for sample, _ in named:
        metric = metric_of(sample)
        found |= set(metric.labels) if metric else set()
    return found


@pytest.mark.parametrize("name", list(alerts()))
def test_every_alert_says_what_to_do(name: str) -> None:
    alert = alerts()[name]
    assert alert["summary"]
    assert (ROOT / alert["runbook"]).exists(), alert["runbook"]


def test_counters_are_asked_for_their_growth() -> None:
    """The height of a counter is how long ago its process was started."""
    for place, query in queries():
        for sample in re.findall(r"orchestrator_\w+_total", query):
            assert re.search(rf"(rate|increase)\({sample}", query), place


def test_every_metric_of_the_whole_is_on_the_dashboard_or_in_an_alert() -> None:
    asked = " ".join(query for _, query in queries())
    unseen = [one.name for one in CLUSTER if one.name not in asked]
    assert unseen == ["orchestrator_refusals_total"]  # `orchestrator_verdicts_total` has them


def test_panels_do_not_lie_on_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not taken & cells, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
