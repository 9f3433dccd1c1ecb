"""Danger: who started the servers is killed, and they live on, or never start again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import psycopg
import pytest

from orchestrator.config.stack_file import StackFile
from orchestrator.devstack import EmbeddedServers, Stack, StackOptions
from tests.support.waiting import answers, is_gone, wait_until

# What a user's terminal would run: a stack, kept until somebody ends it.
_SUPERVISOR = """
import contextlib, json, sys
from pathlib import Path
from orchestrator.devstack import Stack, StackOptions

bare = dict(workers=0, beat=False, flower=False, migrate=False)
stack = Stack(StackOptions(Path(sys.argv[1]), **bare))
with contextlib.suppress(KeyboardInterrupt), stack:  # it may come before the wait begins
    print(json.dumps(stack.pids()), flush=True)
    stack.wait()
print("stopped in order", flush=True)
"""


def _supervise(folder: Path) -> tuple[subprocess.Popen[str], list[int]]:
    """A stack in a process of its own, and the ids of that process's children."""
    supervisor = subprocess.Popen(
        [sys.executable, "-c", _SUPERVISOR, str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert supervisor.stdout
    started = json.loads(supervisor.stdout.readline())
    return supervisor, [started["redis"], started["postgres"]]


def _kill(supervisor: subprocess.Popen[str]) -> None:
    supervisor.kill()
    supervisor.communicate()


def test_a_killed_supervisor_leaves_no_child(folder: Path) -> None:
    supervisor, children = _supervise(folder)
    _kill(supervisor)
    for child in children:
        wait_until(partial(is_gone, child), f"process {child} has ended")


def test_a_killed_stack_is_not_taken_for_a_running_one(folder: Path) -> None:
    supervisor, _ = _supervise(folder)
    assert StackFile.read(folder) is not None
    _kill(supervisor)
    assert StackFile.read(folder) is None


def test_the_next_start_works_at_once_on_the_same_data(folder: Path) -> None:
    supervisor, _ = _supervise(folder)
    running = StackFile.read(folder)
    assert running
    with psycopg.connect(running.database_url) as db:
        db.execute("CREATE TABLE kept AS SELECT 1 AS one")
    _kill(supervisor)
    again = StackOptions(folder, workers=0, beat=False, flower=False, migrate=False)
    with Stack(again) as stack, psycopg.connect(stack.database_url) as db:
        assert db.execute("SELECT one FROM kept").fetchone() == (1,)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_every_polite_end_stops_all_in_order(folder: Path, number: signal.Signals) -> None:
    supervisor, children = _supervise(folder)
    supervisor.send_signal(number)
    said, _ = supervisor.communicate()
    assert said.strip() == "stopped in order"
    assert supervisor.returncode == 0
    assert all(is_gone(child) for child in children)
    assert not (folder / "postgres" / "data" / "postmaster.pid").exists()
    assert not (folder / "stack.json").exists()


def test_a_lock_file_that_names_a_foreign_process_does_not_matter(folder: Path) -> None:
    with EmbeddedServers(folder, durable=False, redis=False):
        pass
    lock = folder / "postgres" / "data" / "postmaster.pid"
    lock.write_text(f"{os.getppid()}\n{folder}/postgres/data\n")
    with EmbeddedServers(folder, durable=False, redis=False) as servers:
        assert answers(servers.database_url)
