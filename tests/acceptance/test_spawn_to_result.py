"""A service spawns, a worker process runs, the service has the result."""

from __future__ import annotations

import pytest

from orchestrator import AgentFailed, Orchestrator, ResultPending, SpawnRequest, State
from tests.support.processes import Programs


def test_spawn_to_result(orchestrator: Orchestrator, start: Programs) -> None:
    start.worker()
    handle = orchestrator.spawn("add", {"a": 2, "b": 3})
    assert handle.result(timeout=20) == 5
    assert handle.status() is State.COMPLETED
    trail = [event.to_state for event in orchestrator.events(handle.id)]
    assert trail == ["queued", "running", "completed"]


def test_an_instance_knows_where_it_stands(orchestrator: Orchestrator, start: Programs) -> None:
    worker = start.worker()
    handle = orchestrator.spawn("whoami", session="s1", tenant="acme")
    assert handle.result(timeout=20) == {
        "id": handle.id,
        "session": "s1",
        "tenant": "acme",
        "depth": 0,
        "attempt": 1,
        "pid": worker.pid,
    }


def test_a_tree_runs_within_fewer_slots_than_it_has_parents(
    orchestrator: Orchestrator, start: Programs
) -> None:
    """Parents hold no slot while they wait, so 1 slot is enough for any tree."""
    start.worker("--concurrency", "1")
    handle = orchestrator.spawn("tree", {"fan": 2, "depth": 3})
    assert handle.result(timeout=60) == 15
    [root] = orchestrator.tree(handle.id)
    assert [len(root.children), len(root.children[0].children)] == [2, 2]


def test_an_async_agent_has_children_too(orchestrator: Orchestrator, start: Programs) -> None:
    start.worker()
    assert orchestrator.spawn("async-sum", {"numbers": [1, 2, 3]}).result(timeout=20) == 6


def test_a_batch_runs(orchestrator: Orchestrator, start: Programs) -> None:
    start.worker()
    handles = orchestrator.spawn_many([SpawnRequest("add", {"a": n}) for n in range(25)])
    assert [handle.result(timeout=20) for handle in handles] == [n + 1 for n in range(25)]


def test_a_failing_agent_is_tried_again_and_then_reported(
    orchestrator: Orchestrator, start: Programs
) -> None:
    start.worker()
    handle = orchestrator.spawn("fail", {"message": "no luck"})
    with pytest.raises(AgentFailed, match="ValueError: no luck") as caught:
        handle.result(timeout=20)
    assert "raise ValueError" in (caught.value.error or {})["traceback"]
    instance = orchestrator.get(handle.id)
    assert (instance.attempt, instance.failures, instance.reason) == (2, 2, "AGENT_ERROR")
    assert orchestrator.spawn("fail-once").result(timeout=20) == 2


def test_a_result_that_is_no_json_fails_the_instance(
    orchestrator: Orchestrator, start: Programs
) -> None:
    start.worker()
    with pytest.raises(AgentFailed, match=r"result\.when is of type set"):
        orchestrator.spawn("not-json").result(timeout=20)


def test_impatience_leaves_the_instance_alone(orchestrator: Orchestrator) -> None:
    orchestrator_without_workers = orchestrator
    with pytest.raises(ResultPending):
        orchestrator_without_workers.spawn("add", {"a": 1}).result(timeout=0.05)


def test_urgent_work_goes_first(orchestrator: Orchestrator, start: Programs) -> None:
    """With one slot, everything queued before the worker starts runs in the order of classes."""
    classes = ["background", "low", "normal", "high", "critical"]
    handles = [orchestrator.spawn("add", {"a": 1}, priority=name) for name in classes]
    start.worker("--concurrency", "1")
    for handle in handles:
        handle.result(timeout=20)
    begun = {
        name: orchestrator.get(h.id).started_at for name, h in zip(classes, handles, strict=True)
    }
    assert sorted(classes, key=lambda name: str(begun[name])) == classes[::-1]
