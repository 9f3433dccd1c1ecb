"""Short ways to say what a test is about."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from textwrap import dedent
from typing import Any

from examples.audit.analysis import apply_rules
from examples.audit.evidence import Evidence
from examples.audit.execution import Execution
from examples.audit.findings import Finding, Severity
from examples.audit.review import Review, review
from examples.audit.rules import RULES
from examples.audit.source import SourceFile, parse
from orchestrator import Event, Instance, State, TreeNode

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def parsed(code: str, path: str = "module.py") -> SourceFile:
    """The code as a parsed file; it must be valid Python."""
    file = parse(dedent(code).encode(), path)
    assert isinstance(file, SourceFile)
    return file


def found(rule: str, code: str, path: str = "module.py") -> list[Finding]:
    """What one rule finds in the code."""
    [chosen] = [candidate for candidate in RULES if candidate.name == rule]
    return list(apply_rules(parsed(code, path), (chosen,)))


def lines(rule: str, code: str) -> list[int]:
    """The lines that one rule complains about."""
    return [finding.line for finding in found(rule, code)]


def write(folder: Path, files: dict[str, str]) -> Path:
    """Write files, given by relative path and content, and return the folder."""
    for name, code in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(code), "utf-8")
    return folder


def reviewed(folder: Path, files: dict[str, str], rule: str) -> Review:
    """The review of what one rule finds in files of one folder."""
    write(folder, files)
    findings = [finding for path, code in files.items() for finding in found(rule, code, path)]
    return review(findings, Evidence(folder, "."))


def finding(rule: str = "bare-except", path: str = "a.py", **changes: Any) -> Finding:
    """A finding that is like any other, except for the changes."""
    plain = Finding(rule, path, 1, Severity.MEDIUM, "something is not right")
    return replace(plain, **changes)


def execution(identity: str, *busy: tuple[float, float], **changes: Any) -> Execution:
    """A completed instance that ran in these intervals, except for the changes."""
    plain = Execution(
        id=identity,
        agent="audit.files",
        label=f"{identity}.py",
        state="completed",
        reason=None,
        failures=0,
        worker="worker@host",
        created=0.0,
        started=busy[0][0] if busy else None,
        ended=busy[-1][1] if busy else None,
        busy=busy,
    )
    return replace(plain, **changes)


def instance(identity: str, **changes: Any) -> Instance:
    """A completed instance of the product's own type."""
    values: dict[str, Any] = {
        "id": identity,
        "agent": "audit.files",
        "root_id": identity,
        "state": State.COMPLETED,
        "attempt": 1,
        "failures": 0,
        "args": {"source": "/code", "paths": ["a.py"]},
        "worker": "worker@host",
        "created_at": NOON,
        "started_at": NOON + timedelta(seconds=1),
        "ended_at": NOON + timedelta(seconds=3),
    }
    return Instance(**_empty(Instance) | values | changes)


def node(identity: str, *children: TreeNode, **changes: Any) -> TreeNode:
    """A node of the tree that the API returns."""
    return TreeNode(instance(identity, **changes), children)


def event(second: float, to_state: State) -> Event:
    """A line of the audit trail, some seconds after noon."""
    values: dict[str, Any] = {"to_state": to_state, "at": NOON + timedelta(seconds=second)}
    return Event(**_empty(Event) | values)


def _empty(kind: type[Instance] | type[Event]) -> dict[str, Any]:
    """None for every field: most tests care about a few."""
    return dict.fromkeys(field.name for field in fields(kind))
