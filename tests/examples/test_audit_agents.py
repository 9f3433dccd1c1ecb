"""What the agents do with what they get; that they run on the real system is tested elsewhere."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from examples.audit import plan, work
from examples.audit.agents import (
    FOLDERS_AT_ONCE,
    Team,
    audit_codebase,
    audit_files,
    audit_folder,
    audit_review,
)
from examples.audit.results import AuditResult
from orchestrator import AgentFailed, Context
from tests.examples.support import finding, write

AGENTS: dict[str, Callable[..., Any]] = {
    "audit.codebase": audit_codebase,
    "audit.folder": audit_folder,
    "audit.files": audit_files,
    "audit.review": audit_review,
}


@dataclass
class Call:
    """A recorded spawn: its name, arguments, and what comes of it."""

    agent: str
    args: dict[str, Any]
    outcome: Any = None


class Log:
    """Takes log lines."""

    def info(self, event: str, **values: object) -> None:
        """Nothing is kept."""


@dataclass
class Desk:
    """Stands for a context where only the agents' own logic matters: runs children at once."""

    calls: list[Call] = field(default_factory=list)
    #: Agents whose runs fail.
    broken: frozenset[str] = frozenset()
    log: Log = field(default_factory=Log)
    open: int = 0
    most_open: int = 0

    def spawn(self, agent: str, args: dict[str, Any]) -> Call:
        """Run the child and keep what came of it; arguments and results travel as JSON."""
        call = Call(agent, json.loads(json.dumps(args)))
        self.calls.append(call)
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        below = Desk(self.calls, self.broken)
        try:
            result = AGENTS[agent](cast(Context, below), **call.args)
            call.outcome = json.loads(json.dumps(result))
        except AgentFailed as error:
            call.outcome = error
        if agent in self.broken:
            call.outcome = AgentFailed("id", agent, "AGENT_ERROR", None)
        return call

    def wait(self, handles: Call | list[Call], return_exceptions: bool = False) -> Any:
        """The outcomes; a failure is raised unless it is wanted as a value."""
        asked = handles if isinstance(handles, list) else [handles]
        self.open -= len(asked)
        failures = [c.outcome for c in asked if isinstance(c.outcome, Exception)]
        if failures and not return_exceptions:
            raise failures[0]
        outcomes = [call.outcome for call in asked]
        return outcomes if isinstance(handles, list) else outcomes[0]

    def step(self, name: str, function: Callable[..., Any], *args: Any) -> Any:
        """Done at once; what comes of it travels as JSON."""
        return json.loads(json.dumps(function(*args)))

    def check(self) -> None:
        """Nobody is told to stop here."""


def audit(source: Path, desk: Desk) -> AuditResult:
    """Run the root agent."""
    return audit_codebase(cast(Context, desk), str(source))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A small code base of two folders."""
    files = {
        "a.py": "def f(x=[]): x.append(1)",
        "b.py": "try: f()\nexcept: pass",
        "c/d.py": "import os",
    }
    return write(tmp_path, files)


def test_the_tree_has_an_agent_per_folder_file_and_review(source: Path) -> None:
    desk = Desk()
    result = audit(source, desk)
    count = Counter(call.agent for call in desk.calls)
    assert count == {"audit.folder": 2, "audit.files": 3, "audit.review": 2}
    assert count.total() == sum(plan.expected(source).values())
    assert (result["files"], [rank["folder"] for rank in result["folders"]]) == (3, [".", "c"])
    assert {"mutable-default", "bare-except", "unused-import"} <= set(result["tally"])
    assert len(result["spawn_ms"]) == count.total()


def test_the_same_source_gives_the_same_spawns(source: Path) -> None:
    first, second = Desk(), Desk()
    audit(source, first)
    audit(source, second)
    assert [(c.agent, c.args) for c in first.calls] == [(c.agent, c.args) for c in second.calls]


@pytest.mark.parametrize(
    ("broken", "place"), [("audit.files", "a.py"), ("audit.review", "./"), ("audit.folder", "c/")]
)
def test_an_agent_that_fails_leaves_a_gap_that_is_named(
    source: Path, broken: str, place: str
) -> None:
    result = audit(source, Desk(broken=frozenset({broken})))
    lost = [f["path"] for f in result["findings"] if f["rule"] == "audit-failed"]
    assert place in lost


def test_only_so_many_folders_are_open_at_once(tmp_path: Path) -> None:
    write(tmp_path, {f"folder{n:02}/a.py": "x = 1" for n in range(FOLDERS_AT_ONCE + 9)})
    desk = Desk()
    result = audit(tmp_path, desk)
    assert desk.most_open == FOLDERS_AT_ONCE
    assert len(result["folders"]) == FOLDERS_AT_ONCE + 9


def test_results_come_in_the_order_of_the_requests(tmp_path: Path) -> None:
    write(tmp_path, {f"{n}.py": "x = 1" for n in range(7)})
    requests = [{"source": str(tmp_path), "paths": [f"{n}.py"]} for n in range(7)]
    team = Team(cast(Context, Desk()))
    results = team.run_all("audit.files", requests, 3)
    assert [list(result["marks"]) for result in results] == [[f"{n}.py"] for n in range(7)]
    assert team.run_all("audit.files", [], 3) == []


def test_a_folder_s_findings_are_its_files_copies_and_gaps(tmp_path: Path) -> None:
    copied = "".join(f"    value{n} = first{n}.call(second{n}, third{n})\n" for n in range(12))
    write(tmp_path, {"a.py": f"def f():\n{copied}", "b.py": f"def g():\n{copied}"})
    parts = [work.analyse(str(tmp_path), [name]) for name in ("a.py", "b.py")]
    parts[0]["cut"] = 5
    findings, cut = work.gather(parts, [finding("audit-failed")])
    assert {"duplicate-block", "audit-failed", "missing-docstring"} == {f["rule"] for f in findings}
    assert cut == 5


def test_an_empty_source_gives_an_empty_result(tmp_path: Path) -> None:
    result = audit(tmp_path, Desk())
    assert (result["files"], result["folders"], result["tally"]) == (0, [], {})


def test_files_with_impossible_names_are_reported(source: Path) -> None:
    (source / b"odd\xff.py".decode("utf-8", "surrogateescape")).touch()
    result = audit(source, Desk())
    assert "odd\\udcff.py" in [finding["path"] for finding in result["findings"]]
