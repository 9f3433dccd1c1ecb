"""Danger: a worker dies, and the programs it has started live on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.engine.runtimes.programs import gone
from tests.support.processes import ROOT

#: A worker, as far as its programs can tell. It tells their ids, then waits for a word.
WORKER = """
import os, sys
from orchestrator.agents.programs import Program
from tests.engine.runtimes.programs import children
from workers.runtimes.group import Group
from workers.runtimes.warden import Warden

def start():
    return Group(Program(("sh", "-c", "trap '' TERM HUP; sleep 600 & wait")), warden)

warden = Warden()
start().bury()
[keeper] = children()
first = start()
if "unwatched" in sys.argv:
    os.kill(keeper, 9)
    os.waitid(os.P_PID, keeper, os.WEXITED | os.WNOWAIT)
print(first.pid, start().pid, flush=True)
sys.stdin.readline()
os._exit(0)
"""


@contextmanager
def worker(*args: str) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A worker process, and the ids of the programs that it runs."""
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER, *args],
        text=True,
        env=dict(os.environ) | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with process:
        assert process.stdout is not None
        yield process, [int(pid) for pid in process.stdout.readline().split()]


def test_it_is_killed() -> None:
    with worker() as (process, programs):
        process.send_signal(signal.SIGKILL)
    gone(*programs)


def test_it_ends_in_a_hurry() -> None:
    with worker() as (_, programs):
        pass
    gone(*programs)


def test_the_one_who_watches_was_killed_before() -> None:
    """The next program brings another one, who is told of the earlier programs too."""
    with worker("unwatched") as (process, programs):
        process.send_signal(signal.SIGKILL)
    assert len(programs) == 2
    gone(*programs)
