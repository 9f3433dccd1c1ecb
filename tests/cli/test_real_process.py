"""What only a process of its own can show: streams, signals, and the very command people type."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from orchestrator.config.settings import Settings
from orchestrator.devstack.ports import free_port
from orchestrator.domain.instance import SpawnRequest
from orchestrator.domain.lifecycle import State
from orchestrator.engine.deps import Deps
from orchestrator.engine.spawn import spawn, spawn_many
from orchestrator.store.store import Ending
from tests.support.processes import ROOT
from tests.support.waiting import wait_until


def start(*arguments: str, **env: str) -> subprocess.Popen[str]:
    """The command as a process, in the environment of the test."""
    return subprocess.Popen(
        [sys.executable, "-m", "orchestrator.cli", *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT)} | env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(*arguments: str, **env: str) -> tuple[int, str, str]:
    process = start(*arguments, **env)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def test_a_spawn_is_waited_for_from_a_shell(settings: Settings, deps: Deps) -> None:
    # Given a service's shell that knows the agent only by what a worker has recorded
    deps.store.save_agents(deps.catalogue._local.values())
    process = start("spawn", "add", '{"a": 1}', "--wait", "30", "--json")
    # When the instance is run by somebody
    wait_until(deps.store.list, "it was spawned")
    [row] = deps.store.list()
    deps.store.begin(row.id, 1, "worker")
    deps.store.settle(row.id, 1, Ending(State.COMPLETED, result='"漢"'))
    # Then the shell has the result, and nothing else
    out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")
    assert json.loads(out) == {"id": row.id, "result": "漢"}


def test_an_interrupted_wait_is_no_traceback(settings: Settings, deps: Deps) -> None:
    deps.store.save_agents(deps.catalogue._local.values())
    process = start("spawn", "add", '{"a": 1}', "--wait", "60")
    wait_until(deps.store.list, "it was spawned")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert deps.store.list()[0].state is State.QUEUED


def test_a_server_that_is_away_is_one_error(settings: Settings, deps: Deps) -> None:
    """Standard error holds nothing but it: no library speaks past us."""
    away = f"postgresql://u:p@127.0.0.1:{free_port()}/x"
    exit_code, out, err = run("list", "--json", ORCHESTRATOR_DATABASE_URL=away)
    assert (exit_code, out) == (4, "")
    assert json.loads(err)["error"]["code"] == "STORE_UNAVAILABLE"


def test_a_worker_without_its_agents_code_says_so(settings: Settings) -> None:
    exit_code, out, err = run("worker", "--agents", "no.such.module")
    assert (exit_code, out) == (1, "")
    assert err.startswith("CONFIGURATION There is no module 'no.such.module'")
    assert "Traceback" not in err


def test_a_reader_that_leaves_early_is_no_traceback(settings: Settings, deps: Deps) -> None:
    """`orchestrator list | head -1`."""
    spawn_many(deps, [SpawnRequest("add", {"a": number}) for number in range(300)])
    process = start("list", "--limit", "300", "--json")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    process.wait(timeout=30)
    assert "Traceback" not in err
    assert "BrokenPipe" not in err


def test_a_terminal_without_unicode_is_no_traceback(settings: Settings, deps: Deps) -> None:
    one = spawn(deps, SpawnRequest("echo", {"name": "漢"}, session="漢 s"))
    for arguments in (("tree", one), ("show", one, "--json")):
        exit_code, out, err = run(*arguments, PYTHONIOENCODING="ascii", LC_ALL="C")
        assert (exit_code, err) == (0, "")
        assert one in out
    assert json.loads(out)["session"] == "漢 s"


def test_the_working_folder_is_where_agents_are_looked_for(
    settings: Settings, tmp_path: Path
) -> None:
    """The module is found; that its import fails is told by Python itself."""
    (tmp_path / "broken_agents.py").write_text("import no_such_dependency\n")
    exit_code, _, err = run("worker", "--agents", "broken_agents", PYTHONPATH=str(ROOT))
    assert exit_code == 1
    assert "no_such_dependency" in err
