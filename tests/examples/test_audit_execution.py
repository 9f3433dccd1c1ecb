"""From the tree and the audit trail to intervals, and from intervals to the summary."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from examples.audit.execution import executions, flat, label, running_times, state_counts
from examples.audit.measures import Percentiles
from examples.audit.results import AuditResult, audit_result
from examples.audit.summary import AuditSummary, running, summarise
from orchestrator import Event, State
from tests.examples.support import NOON, event, execution, finding, node

REPORTS = (Path("out/audit.md"), Path("out/audit.html"))


def test_a_leaf_ran_from_its_start_to_its_end() -> None:
    [one] = executions([node("a", started_at=NOON + timedelta(seconds=2))], no_events)
    assert (one.created, one.started, one.ended) == (0.0, 2.0, 3.0)
    assert (one.busy, one.wait, one.worked, one.lasted) == (((2.0, 3.0),), 2.0, 1.0, 1.0)


def no_events(_: str) -> list[Event]:
    """For trees in which nobody is asked."""
    raise AssertionError("the events of a leaf are not needed")


def test_a_parent_did_not_run_while_it_waited() -> None:
    trail = [
        event(0, State.QUEUED),
        event(1, State.RUNNING),
        event(2, State.WAITING),
        event(7, State.QUEUED),
        event(8, State.RUNNING),
        event(10, State.COMPLETED),
    ]
    [parent] = executions([node("p", node("c"))], lambda _: trail)
    assert parent.busy == ((1.0, 2.0), (8.0, 10.0))
    assert parent.worked == 3.0


def test_an_instance_that_ran_twice_ran_in_pieces() -> None:
    trail = [event(1, State.RUNNING), event(2, State.QUEUED), event(4, State.RUNNING)]
    [one] = executions(
        [node("a", attempt=2, failures=1)], lambda _: [*trail, event(5, State.FAILED)]
    )
    assert one.busy == ((1.0, 2.0), (4.0, 5.0))
    assert one.failures == 1


def test_an_instance_that_never_ran_has_no_times() -> None:
    [one] = executions([node("a", started_at=None, ended_at=None, state=State.QUEUED)], no_events)
    assert (one.busy, one.wait, one.lasted, one.worked) == ((), None, None, 0)


def test_a_trail_that_is_still_open_has_no_last_interval() -> None:
    assert running_times([(1.0, event(1, State.RUNNING))]) == []


def test_times_count_from_the_first_instance_created() -> None:
    early = node("early", created_at=NOON - timedelta(seconds=5))
    assert [one.created for one in executions([node("late"), early], no_events)] == [5.0, 0.0]


def test_no_tree_gives_no_executions() -> None:
    assert executions([], no_events) == []


@pytest.mark.parametrize(
    ("args", "text"),
    [
        ({"source": "/code/celery"}, "celery"),
        ({"source": "/code", "folder": "."}, "./"),
        ({"source": "/code", "folder": "app"}, "app/"),
        ({"source": "/code", "paths": ["app/a.py"]}, "app/a.py"),
        ({"source": "/code", "paths": ["a.py", "b.py", "c.py"]}, "a.py and 2 more"),
        ({}, ""),
    ],
)
def test_an_instance_is_named_by_what_it_works_on(args: dict[str, object], text: str) -> None:
    assert label(args) == text


def result(**changes: object) -> AuditResult:
    """The result of an audit with one finding."""
    whole = audit_result("/code", [], [finding()], [1.0, 2.0, 3.0])
    whole.update(changes)  # type: ignore[typeddict-item]  # the tests change fields by name
    return whole


def summary(result: AuditResult | None, *tree_changes: dict[str, object]) -> AuditSummary:
    """The summary of a root with two children, changed as said."""
    changes = (*tree_changes, {}, {})
    first = execution("a", (1.0, 3.0), created=0.5, **changes[0])
    second = execution("b", (2.0, 4.0), created=0.5, **changes[1])
    root = execution("root", (0.0, 0.5), (4.0, 5.0), children=(first, second))
    return summarise("s", "root", result, [root], REPORTS)


def test_a_good_run_is_ok() -> None:
    good = summary(result())
    assert (good.ok, good.problems, good.by_state) == (True, (), {"completed": 3})
    assert good.spawn_ms == Percentiles(3, 2.0, 3.0, 3.0, 3.0)
    assert good.queue_wait_s == Percentiles(3, 0.5, 1.5, 1.5, 1.5)
    assert good.run_s == Percentiles(2, 2.0, 2.0, 2.0, 2.0)
    assert (good.wall_s, good.throughput, good.most_at_once) == (5.0, 0.6, 2)


def test_parents_that_wait_are_not_counted_as_running() -> None:
    children = tuple(execution(str(n), (1.0, 2.0)) for n in range(10))
    parents = [execution("p", (0.0, 1.0), (2.0, 3.0), children=children)]
    assert len(running(parents)) == 12
    assert summarise("s", "p", result(), parents, REPORTS).most_at_once == 10


@pytest.mark.parametrize("state", ["failed", "cancelled", "running"])
def test_an_instance_that_did_not_complete_spoils_the_run(state: str) -> None:
    bad = summary(result(), {"state": state})
    assert not bad.ok
    assert bad.problems == (f"1 of 3 instances are {state}",)


def test_no_finding_at_all_spoils_the_run() -> None:
    bad = summary(result(tally={}))
    assert not bad.ok
    assert "not a single finding" in bad.problems[0]


def test_a_root_that_failed_spoils_the_run_and_still_gives_numbers() -> None:
    tree = [execution("root", (0.0, 1.0), state="failed")]
    bad = summarise("s", "root", None, tree, REPORTS, "audit.codebase x failed: out of memory")
    assert not bad.ok
    assert bad.problems[0] == "audit.codebase x failed: out of memory"
    assert (bad.files, bad.spawn_ms, bad.wall_s) == (0, None, 1.0)


def test_the_summary_is_json() -> None:
    data = summary(result()).to_dict()
    assert data["instances"] == 3
    assert data["html"] == "out/audit.html"
    assert data["spawn_ms"]["p95"] == 3.0


def test_executions_are_walked_parents_first() -> None:
    tree = [execution("a", children=(execution("b"), execution("c")))]
    assert [one.id for one in flat(tree)] == ["a", "b", "c"]
    assert state_counts(flat(tree)) == {"completed": 3}
