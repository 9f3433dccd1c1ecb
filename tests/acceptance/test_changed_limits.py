"""An operator changes a limit while workers run, Redis is emptied, and other settings arrive."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from orchestrator import Orchestrator
from orchestrator.engine.deps import Deps
from tests.support.processes import Programs
from tests.support.waiting import wait_until


def command(*words: str) -> object:
    """The command, as an operator on another machine runs it."""
    ran = subprocess.run(
        [sys.executable, "-m", "orchestrator.cli", *words, "--json"],
        check=True,
        capture_output=True,
        text=True,
    )
    return json.loads(ran.stdout)


def test_a_limit_follows_the_operator_and_nobody_else(
    orchestrator: Orchestrator, deps: Deps, start: Programs, ledger: Path, go: Path
) -> None:
    # Given a tenant that may run two at once
    command("limits", "set", "tenant:acme", "2")
    start.beat()
    start.worker("--concurrency", "8")
    args = {"ledger": str(ledger), "until": str(go)}
    handles = [orchestrator.spawn("hold", args, tenant="acme") for _ in range(6)]
    wait_until(lambda: len(ledger.read_text().splitlines()) == 2, "two run")
    # When Redis is emptied and a worker starts that knows of another limit
    deps.gate.redis.flushall()
    start.worker("--concurrency", "8", ORCHESTRATOR_LIMITS__TENANT_CONCURRENCY="7")
    # Then there are still two
    [mine] = [one for one in orchestrator.limits() if one.scope == "tenant:acme"]
    assert (mine.operator, mine.in_force, mine.used) == (2, 2, 2)
    assert len(ledger.read_text().splitlines()) == 2
    # When the limit is raised, then more start at once
    command("limits", "set", "tenant:acme", "4")
    wait_until(lambda: len(ledger.read_text().splitlines()) == 4, "four run")
    assert deps.gate.held() == 4
    # When it is taken back, then the newest settings hold
    command("limits", "unset", "tenant:acme")
    wait_until(lambda: len(ledger.read_text().splitlines()) == 6, "all run")
    go.touch()
    for handle in handles:
        handle.result(timeout=30)
