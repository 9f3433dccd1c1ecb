"""Computing in other processes: results, errors, being stopped, and processes that die."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from examples.audit.compute import Computers, computed
from tests.support.waiting import is_gone, wait_until

REPOSITORY = Path(__file__).parents[2]


class Stop(BaseException):
    """What a context raises in an agent that must stop."""


def go_on() -> None:
    """A check that lets the work go on."""


def test_the_value_comes_from_another_process() -> None:
    assert computed(go_on, os.getpid) != os.getpid()
    assert computed(go_on, sorted, [2, 1], reverse=True) == [2, 1]


def test_what_the_function_raises_is_raised_here_and_tells_where() -> None:
    with pytest.raises(SyntaxError) as raised:
        computed(go_on, ast.literal_eval, "(")
    assert "literal_eval" in raised.value.__notes__[0]


def test_a_process_is_used_again() -> None:
    computers = Computers(1)
    with computers.one(go_on) as first:
        _, pid = first.run(go_on, os.getpid, (), {})
    with computers.one(go_on) as second:
        assert second.run(go_on, os.getpid, (), {}) == (True, pid)
        second.kill()


def test_an_agent_that_must_stop_stops_its_computing(tmp_path: Path) -> None:
    """The process would wait for ever: it reads a pipe into which nobody writes."""

    def stop() -> None:
        raise Stop

    os.mkfifo(tmp_path / "blocked")
    computers = Computers(1)
    with computers.one(go_on) as computer:
        _, pid = computer.run(go_on, os.getpid, (), {})
    with pytest.raises(Stop), computers.one(go_on) as computer:
        computer.run(stop, (tmp_path / "blocked").read_text, (), {})
    wait_until(lambda: is_gone(pid), "the process that was stopped is gone")


def test_an_agent_that_must_stop_does_not_wait_for_a_computer() -> None:
    computers = Computers(1)

    def stop() -> None:
        raise Stop

    with computers.one(go_on) as computer:
        with pytest.raises(Stop), computers.one(stop):
            pytest.fail("there was only one")
        computer.kill()


def test_a_process_that_died_is_an_error_and_is_replaced() -> None:
    computers = Computers(1)
    with pytest.raises((EOFError, OSError)), computers.one(go_on) as computer:
        computer.run(go_on, os.abort, (), {})
    with computers.one(go_on) as computer:
        assert computer.run(go_on, abs, (-1,), {}) == (True, 1)
        computer.kill()


def test_many_threads_share_few_processes() -> None:
    with ThreadPoolExecutor(8) as threads:
        pids = list(threads.map(lambda _: computed(go_on, os.getpid), range(40)))
    assert len(set(pids)) <= (os.cpu_count() or 1)


def test_the_processes_of_a_killed_worker_end() -> None:
    program = "from examples.audit.compute import computed; import os; "
    program += "print(computed(lambda: None, os.getpid), flush=True); input()"
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
