"""What Prometheus reads of real processes."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from orchestrator import Orchestrator
from orchestrator.devstack.ports import free_port
from tests.support.processes import Programs


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except urllib.error.URLError:
        return 0, ""


def samples(text: str) -> dict[tuple[Any, ...], float]:
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_a_worker_tells_what_it_has_done(orchestrator: Orchestrator, start: Programs) -> None:
    port = free_port()
    start.worker(ORCHESTRATOR_METRICS_PORT=str(port))
    assert orchestrator.spawn("add", {"a": 1}).result(timeout=30) is not None
    status, text = get(f"http://127.0.0.1:{port}/metrics")
    assert status == 200
    found = samples(text)
    done = (("outcome", "completed"), ("pool", "default"), ("reason", ""))
    assert found["orchestrator_attempts_total", *done] == 1
    assert found["orchestrator_heartbeats_total", ("result", "sent")] >= 1
    assert get(f"http://127.0.0.1:{port}/health")[0] == 200
    assert get(f"http://127.0.0.1:{port}/")[0] == 404


def test_the_whole_is_told_by_one(orchestrator: Orchestrator, start: Programs) -> None:
    port = free_port()
    orchestrator.spawn("add", {"a": 1}, pool="nobody-here")
    program = start.serve(port, "metrics", "--port", str(port))
    found = samples(get(f"http://127.0.0.1:{port}/metrics")[1])
    assert found["orchestrator_pool_stalled", ("pool", "nobody-here")] == 1
    status, text = get(f"http://127.0.0.1:{port}/health")
    assert (status, json.loads(text)["stuck"]) == (200, [])
    assert program.stop() == 0
