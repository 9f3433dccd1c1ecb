"""Computing in other processes, so that the worker's threads stay free.

A worker runs its agents in threads. An agent that waits (for a server, a file, a child) is at
home there; one that computes in pure Python is not: it holds the interpreter lock, which
slows every other agent of the process, and uses one processor at most. So the agents of the
audit hand their computing to a few processes that the worker process keeps.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor, wait
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait as wait_for_end
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

#: Seconds between two looks at whether the agent should stop.
CHECK_EVERY = 0.1
#: Computing gives way to what answers requests; 19 is the mildest.
NICENESS = 10


class Processes:
    """A pool of processes, started when first needed and again after a process died."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pool: ProcessPoolExecutor | None = None

    def submit(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Start ``function(...)`` in one of the processes. It must be importable by name."""
        with self._lock:
            if self._pool is None:
                self._pool = _new_pool()
            try:
                return self._pool.submit(function, *args, **kwargs)
            except BrokenExecutor:
                self._pool = _new_pool()
                return self._pool.submit(function, *args, **kwargs)

    def close(self) -> None:
        """End the processes when they have finished what they do."""
        with self._lock:
            if self._pool is not None:
                self._pool.shutdown()
            self._pool = None


def _new_pool() -> ProcessPoolExecutor:
    # A fork of a process with threads may copy a lock that is held: start from a clean one.
    context = get_context("spawn")
    return ProcessPoolExecutor(processors(), mp_context=context, initializer=_prepare)


def processors() -> int:
    """How many processors this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _prepare() -> None:
    """Let servers and workers go first, and end with the parent even if that is killed."""
    os.nice(NICENESS)
    parent = parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait_for_end([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="watch-parent").start()


PROCESSES = Processes()


def computed(
    check: Callable[[], None], function: Callable[P, T], *args: P.args, **kw: P.kwargs
) -> T:
    """The value of ``function(...)``, computed in another process.

    `check` is called while waiting and may raise to stop waiting (`Context.check` does).
    What the function raises is raised here; BrokenExecutor when its process died.
    """
    future = PROCESSES.submit(function, *args, **kw)
    try:
        while not wait([future], timeout=CHECK_EVERY).done:
            check()
    finally:
        future.cancel()  # Only what has not begun: a result that nobody wants is not computed.
    return future.result()
