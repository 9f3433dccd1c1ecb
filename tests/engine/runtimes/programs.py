"""Programs for the tests, and a look at what they leave behind."""

from __future__ import annotations

import sys
import textwrap
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from orchestrator.agents.programs import Program
from orchestrator.domain.instance import Instance
from orchestrator.domain.retry import RetryPolicy
from orchestrator.engine.running import StopReason
from tests.engine.bench import Bench
from tests.support.waiting import is_gone, wait_until


def shell(bench: Bench, script: str, name: str = "program", **options: Any) -> None:
    """Make a shell script an agent."""
    program(bench, ("sh", "-c", textwrap.dedent(script)), name, **options)


def python(bench: Bench, script: str, name: str = "program", **options: Any) -> None:
    """Make a Python program that knows nothing of this package an agent."""
    program(bench, (sys.executable, "-ISc", textwrap.dedent(script)), name, **options)


def program(bench: Bench, command: tuple[str, ...], name: str, **options: Any) -> None:
    """Make any command an agent that is not tried again."""
    retry = options.pop("retry", RetryPolicy.never())
    bench.agent(name, Program(command, **options), retry=retry)


def ended(bench: Bench, args: dict[str, Any] | None = None, name: str = "program") -> Instance:
    """Spawn it and run it to its end."""
    return bench.execute(bench.spawn(name, args or {}))


def error_of(instance: Instance) -> tuple[str | None, str]:
    """Reason and type of its error."""
    assert instance.error is not None
    return instance.reason, instance.error["type"]


@contextmanager
def under_way(bench: Bench, name: str = "program", **args: Any) -> Iterator[str]:
    """While inside, it runs on a thread of its own; it has to have ended soon after."""
    one = bench.spawn(name, args)
    thread = threading.Thread(target=bench.execute, args=(one,))
    thread.start()
    try:
        yield one
    finally:
        thread.join(timeout=15)
        assert not thread.is_alive()


def stop(bench: Bench, instance_id: str, reason: StopReason) -> None:
    """Tell a run to stop."""
    wait_until(lambda: any(run.id == instance_id for run in bench.running.all()), "it runs")
    bench.running.stop(instance_id, reason)


def pid_in(path: Path) -> int:
    """The process id that a program has written into a file."""
    wait_until(lambda: path.exists() and path.read_text().endswith("\n"), "it has told its pid")
    return int(path.read_text().split()[-1])


def gone(*pids: int) -> None:
    """Wait until none of these processes is there any more."""
    wait_until(lambda: all(map(is_gone, pids)), f"processes {pids} are gone", 5.0)


def open_files() -> set[str]:
    """What this process holds open, but for connections, which come and go."""
    found = set()
    for one in Path("/proc/self/fd").iterdir():
        try:
            target = str(one.readlink())
        except OSError:
            continue
        if not target.startswith("socket:"):
            found.add(f"{one.name}:{target}")
    return found


def children() -> set[int]:
    """The processes that this one has started, zombies too."""
    found: set[int] = set()
    for one in Path("/proc/self/task").glob("*/children"):
        try:
            found |= {int(pid) for pid in one.read_text().split()}
        except OSError:
            continue
    return found


@contextmanager
def nothing_left() -> Iterator[None]:
    """Fail when processes, open files or threads are there afterwards that were not before."""
    before = _all_there_is()
    yield
    with suppress(AssertionError):
        wait_until(lambda: _all_there_is() <= before, "nothing is more than before", 5.0)
    left = sorted(_all_there_is() - before)
    assert not left, left


ALLOWED = ("pool-", "calls", "notifier")


def _all_there_is() -> set[str]:
    # What keeps connections and calls alive begins when it is first needed.
    threads = {one.name for one in threading.enumerate() if not one.name.startswith(ALLOWED)}
    return {f"process {pid}" for pid in children()} | open_files() | threads
