"""What is shown while an audit runs."""

from __future__ import annotations

import io
from collections.abc import Mapping

import pytest
from rich.console import Console

from examples.audit.progress import (
    Branch,
    LiveTree,
    PlainLines,
    Snapshot,
    display,
    drawing,
    snapshot,
)
from orchestrator import State, TreeNode
from tests.examples.support import node

PLAN = {".": 4, "app": 3}


def tree() -> list[TreeNode]:
    """A root with one folder at work and one that waits for a slot."""
    files = (node("1"), node("2", state=State.RUNNING))
    first = node("f", *files, args={"folder": "."}, state=State.WAITING)
    second = node("g", args={"folder": "app"}, state=State.QUEUED)
    return [node("r", first, second, args={"source": "/code"}, state=State.WAITING)]


def test_a_snapshot_counts_states_and_folders() -> None:
    now = snapshot(tree(), PLAN, 2.0)
    assert now.states == {"waiting": 2, "completed": 1, "running": 1, "queued": 1}
    assert (now.expected, now.ended, now.queued, now.throughput) == (8, 1, 1, 0.5)
    assert now.branches == (Branch("./", "waiting", 1, 1, 4), Branch("app/", "queued", 0, 0, 3))
    assert now.sentence() == "1/8 done, 1 running, 1 queued, 2 waiting"


def test_more_instances_than_planned_are_not_over_a_hundred_per_cent() -> None:
    assert snapshot(tree(), {}, 1.0).expected == 5


def test_failures_are_said() -> None:
    assert moment(1.0, failed=2).sentence().endswith(", 2 failed")


def moment(elapsed: float, **states: int) -> Snapshot:
    """A snapshot with so many instances in each state."""
    counts: Mapping[str, int] = states
    return Snapshot(states=counts, expected=9, elapsed=elapsed)


def test_plain_lines_come_when_something_changed_and_once_a_second() -> None:
    out = io.StringIO()
    with PlainLines(Console(file=out)) as lines:
        lines.show(moment(0.1, completed=1))
        lines.show(moment(0.5, completed=2))
        lines.show(moment(1.2, completed=2))
        lines.show(moment(9.0, completed=2))
        lines.show(moment(9.5, completed=3))
    assert [line.split()[0] for line in out.getvalue().splitlines()] == ["0.1", "1.2", "9.5"]
    assert "2/9 done, 0 running" in out.getvalue()


def test_the_display_suits_the_console() -> None:
    assert isinstance(display(Console(file=io.StringIO()), "x"), PlainLines)
    assert isinstance(display(Console(file=io.StringIO(), force_terminal=True), "x"), LiveTree)
    with display(None, "x") as nothing:
        nothing.show(moment(1.0))


@pytest.mark.parametrize("height", [5, 60])
def test_a_terminal_shows_the_tree_and_is_left_clean(height: int) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=90, height=height, record=True)
    with LiveTree(console, "celery [5.7]") as screen:
        screen.show(snapshot(tree(), PLAN, 2.0))
    assert "celery [5.7]" in console.export_text()


def test_folders_at_work_are_shown_before_finished_ones() -> None:
    branches = [Branch(f"done{n}/", "completed", 3, 0, 3) for n in range(5)]
    branches.insert(4, Branch("busy/", "waiting", 1, 1, 3))
    now = Snapshot({"running": 1}, 20, 1.0, branches)
    console = Console(file=io.StringIO(), width=90, record=True)
    console.print(drawing(now, "code", 3))
    text = console.export_text()
    shown = [word for word in text.split() if word.endswith("/")]
    assert shown == ["done0/", "done1/", "busy/"]
    assert "3 more" in text
