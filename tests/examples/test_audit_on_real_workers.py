"""The whole audit on real servers and workers: it completes, within its limits, whatever dies."""

from __future__ import annotations

import importlib.util
import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from rich.console import Console

from examples.audit import plan
from examples.audit.run import NothingToAudit, run_audit
from examples.audit.summary import AuditSummary
from orchestrator import Orchestrator, State
from tests.examples.support import write
from tests.support.processes import Programs
from tests.support.waiting import wait_until

AGENTS = "examples.audit.agents"


@pytest.fixture
def source() -> Path:
    """Real code, large enough to be at work for a while: a part of Celery."""
    spec = importlib.util.find_spec("celery.worker")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def what_was_found(summary: AuditSummary) -> tuple[object, ...]:
    """The part of a summary that depends on the code alone."""
    numbers = (summary.files, summary.lines, summary.dropped, summary.instances)
    return (*numbers, summary.findings)


def test_an_audit_completes_and_reports(
    orchestrator: Orchestrator, start: Programs, source: Path, tmp_path: Path
) -> None:
    start.worker(agents=AGENTS)
    out = io.StringIO()
    summary = run_audit(orchestrator, source, tmp_path / "out", Console(file=out, width=100))
    assert summary.ok, summary.problems
    assert summary.by_state == {"completed": sum(plan.expected(source).values()) + 1}
    assert 1 <= summary.most_at_once <= 10
    assert summary.spawn_ms is not None
    assert summary.spawn_ms.count == summary.instances - 1
    assert summary.html.read_text("utf-8").startswith("<!doctype html>")
    assert "## Folders" in summary.markdown.read_text("utf-8")
    for words in ("complete", "spawn call", "throughput", "audit.html"):
        assert words in out.getvalue()
    [root] = orchestrator.tree(summary.session)
    assert {node.instance.depth for child in root.children for node in child.children} == {2}


def test_a_worker_that_dies_changes_nothing_in_the_report(
    orchestrator: Orchestrator, start: Programs, source: Path, tmp_path: Path
) -> None:
    start.beat()
    doomed = start.worker(agents=AGENTS)
    with ThreadPoolExecutor(1) as service:
        running = service.submit(run_audit, orchestrator, source, tmp_path / "disturbed", None)
        wait_until(lambda: orchestrator.list(state="completed"), "some of it is done")
        doomed.kill()
        start.worker(agents=AGENTS)
        disturbed = running.result()
    calm = run_audit(orchestrator, source, tmp_path / "calm", None)
    assert disturbed.ok, disturbed.problems
    assert what_was_found(disturbed) == what_was_found(calm)
    members = orchestrator.list(session=disturbed.session, limit=1000)
    assert any(one.failures for one in members)


def test_an_interrupted_audit_leaves_nothing_running(
    orchestrator: Orchestrator, start: Programs, source: Path, tmp_path: Path
) -> None:
    class Impatient(io.StringIO):
        """Ctrl-C at the first line of progress."""

        def write(self, text: str) -> int:
            raise KeyboardInterrupt

    start.worker(agents=AGENTS)
    with pytest.raises(KeyboardInterrupt):
        run_audit(orchestrator, source, tmp_path / "out", Console(file=Impatient()))
    members = orchestrator.list(limit=1000)
    assert {State.CANCELLED} <= {one.state for one in members}
    assert all(one.state.is_terminal for one in members)
    assert not (tmp_path / "out").exists()


def test_nothing_to_audit_is_said_before_anything_is_spawned(
    orchestrator: Orchestrator, tmp_path: Path
) -> None:
    write(tmp_path, {"code/readme.txt": "no Python here"})
    with pytest.raises(NothingToAudit, match="no Python file"):
        run_audit(orchestrator, tmp_path / "code", tmp_path / "out", None)
    with pytest.raises(NothingToAudit, match="not a folder"):
        run_audit(orchestrator, tmp_path / "gone", tmp_path / "out", None)
    assert orchestrator.list() == []


def test_a_source_without_faults_is_no_success(
    orchestrator: Orchestrator, start: Programs, tmp_path: Path
) -> None:
    """An audit that finds nothing at all has more likely looked at the wrong place."""
    start.worker(agents=AGENTS)
    write(tmp_path, {"code/clean.py": '"""Nothing to see."""\n'})
    summary = run_audit(orchestrator, tmp_path / "code", tmp_path / "out", None)
    assert summary.by_state == {"completed": 4}
    assert not summary.ok
    assert summary.html.exists()


def test_hello(orchestrator: Orchestrator, start: Programs) -> None:
    start.worker(agents="examples.hello")
    handle = orchestrator.spawn("hello", {"name": "world"}, session="hello")
    assert handle.result(timeout=30) == {"greeting": "Hello, world!"}
