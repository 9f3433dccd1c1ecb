"""Computing in other processes: results, errors, being stopped, and processes that die."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor
from pathlib import Path

import pytest

from examples.audit.compute import PROCESSES, Processes, computed
from tests.support.waiting import is_gone, wait_until

REPOSITORY = Path(__file__).parents[2]


class Stop(BaseException):
    """What a context raises in an agent that must stop."""


def go_on() -> None:
    """A check that lets the work go on."""


@pytest.fixture(autouse=True, scope="module")
def ended() -> Iterator[None]:
    """Leave no process behind."""
    yield
    PROCESSES.close()


def test_the_value_comes_from_another_process() -> None:
    assert computed(go_on, os.getpid) != os.getpid()
    assert computed(go_on, sorted, [2, 1], reverse=True) == [2, 1]


def test_what_the_function_raises_is_raised_here() -> None:
    with pytest.raises(SyntaxError):
        computed(go_on, ast.literal_eval, "(")


def test_an_agent_that_must_stop_does_not_wait_for_the_end(tmp_path: Path) -> None:
    def stop() -> None:
        raise Stop

    blocked = tmp_path / "blocked"
    os.mkfifo(blocked)
    with pytest.raises(Stop):
        computed(stop, blocked.read_text)
    blocked.write_text("go on")  # Whoever reads goes on only now.


def test_a_process_that_died_is_replaced() -> None:
    pool = Processes()
    try:
        with pytest.raises(BrokenExecutor):
            pool.submit(os.abort).result()
        assert pool.submit(abs, -1).result() == 1
    finally:
        pool.close()


def test_the_processes_of_a_killed_worker_end() -> None:
    program = "from examples.audit.compute import PROCESSES as p; import os; "
    program += "print(p.submit(os.getpid).result(), flush=True); input()"
    worker = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=REPOSITORY,
        text=True,
    )
    with worker:
        assert worker.stdout is not None
        child = int(worker.stdout.readline())
        worker.kill()
    wait_until(lambda: is_gone(child), "the computing process has ended")
