"""Computing in other processes, so that the worker's threads stay free.

A worker runs its agents in threads. An agent that waits (for a server, a file, a child) is at
home there; one that computes in pure Python is not: it holds the interpreter lock, which
slows every other agent of the process, it uses one processor at most, and it cannot be
stopped. So the agents of the audit hand their computing to a few processes that the worker
process keeps, one for each processor.
"""

from __future__ import annotations

import os
import queue
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

#: Seconds between two looks at whether the agent should stop.
CHECK_EVERY = 0.1
#: Computing gives way to what answers requests; 19 is the mildest.
NICENESS = 10

# A fork of a process with threads may copy a lock that is held: begin from a clean one.
_CONTEXT = get_context("spawn")


class Computer:
    """One process that does what it is sent, one thing at a time.

    It ends when its end of the pipe is closed, so also when this process is killed.
    """

    def __init__(self) -> None:
        self._pipe, theirs = _CONTEXT.Pipe()
        self._process = _CONTEXT.Process(target=_serve, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()

    def run(self, check: Callable[[], None], *work: object) -> tuple[bool, Any]:
        """Do `work`: (True, the value) or (False, the exception). `check` may raise meanwhile.

        Raises EOFError or OSError when the process died.
        """
        self._pipe.send(work)
        while not self._pipe.poll(CHECK_EVERY):
            check()
        outcome: tuple[bool, Any] = self._pipe.recv()
        return outcome

    def kill(self) -> None:
        """End the process at once."""
        self._pipe.close()
        self._process.kill()
        self._process.join()


def _serve(pipe: Connection) -> None:
    """The life of a computing process."""
    os.nice(NICENESS)
    with suppress(EOFError, OSError):  # Nobody is at the other end any more.
        while True:
            function, args, named = pipe.recv()
            pipe.send(_outcome(function, args, named))


def _outcome(function: Callable[..., Any], args: Any, named: Any) -> tuple[bool, Any]:
    try:
        return True, function(*args, **named)
    except Exception as error:
        error.add_note(traceback.format_exc())  # Tracebacks cannot travel, notes can.
        return False, error


class Computers:
    """So many computers for the threads of this process, each started when first needed."""

    def __init__(self, count: int) -> None:
        # None stands for a computer that is not running. The last one used is used first.
        self._free: queue.LifoQueue[Computer | None] = queue.LifoQueue()
        for _ in range(count):
            self._free.put(None)

    @contextmanager
    def one(self, check: Callable[[], None]) -> Iterator[Computer]:
        """A computer for the caller alone; it is killed when the block is left by an exception."""
        computer = self._take(check)
        try:
            computer = computer or Computer()
            yield computer
        except BaseException:
            if computer is not None:
                computer.kill()
            self._free.put(None)
            raise
        self._free.put(computer)

    def _take(self, check: Callable[[], None]) -> Computer | None:
        while True:
            try:
                return self._free.get(timeout=CHECK_EVERY)
            except queue.Empty:
                check()


def processors() -> int:
    """How many processors this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


COMPUTERS = Computers(processors())


def computed(
    check: Callable[[], None], function: Callable[P, T], *args: P.args, **named: P.kwargs
) -> T:
    """The value of ``function(...)``, computed in another process.

    The function must be importable by its name. `check` is called while waiting; when it
    raises, as `Context.check` does, the computing is stopped. What the function raises is
    raised here; EOFError or OSError when its process died.
    """
    with COMPUTERS.one(check) as computer:
        done, value = computer.run(check, function, args, named)
    if done:
        result: T = value
        return result
    raise value
