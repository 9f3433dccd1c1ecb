"""The threads that run attempts, as a Celery worker pool.

Celery's own thread pool tells nobody when a thread becomes free, so a worker that reads only
when it has room refills a slot once a second. This one wakes the event loop. It also lets the
worker run another attempt while one of its threads only waits.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from celery.concurrency.base import BasePool, apply_target
from kombu.asynchronous import Hub

#: More threads than this process can use: room for those that wait.
MOST_THREADS = 20_000


class TaskPool(BasePool):
    """`limit` threads that work, and as many as need be that wait."""

    body_can_be_buffer = True
    signal_safe = False

    #: told to finish what runs before the pool stops; set by the worker process
    on_drain: Callable[[], None] = staticmethod(lambda: None)
    #: the pool of this process, for the engine to report waiting threads to
    current: TaskPool | None = None

    def on_start(self) -> None:
        """Make ready to run. Threads are made when they are needed."""
        self._threads = ThreadPoolExecutor(MOST_THREADS, thread_name_prefix="agent")
        self._parked = 0
        self._lock = threading.Lock()
        self._hub: Hub | None = None
        TaskPool.current = self

    def register_with_event_loop(self, loop: Hub) -> None:
        """Keep the loop: after a reconnect it cannot be asked for any more."""
        self._hub = loop

    def on_apply(
        self,
        target: Callable[..., Any],
        args: tuple[Any, ...] | None = None,
        kwargs: dict[str, Any] | None = None,
        callback: Callable[..., Any] | None = None,
        accept_callback: Callable[..., Any] | None = None,
        **_options: Any,
    ) -> Future[Any]:
        """Run a task on a thread and wake the event loop when it is done."""
        future = self._threads.submit(apply_target, target, args, kwargs, callback, accept_callback)
        future.add_done_callback(lambda _done: self._wake())
        return future

    @property
    def num_processes(self) -> int:
        """How many tasks may be under way: Celery reads no message beyond it."""
        return int(self.limit) + self._parked

    def parked(self, change: int) -> None:
        """So many more (or fewer) of the threads only wait."""
        with self._lock:
            self._parked += change
        if change > 0:
            self._wake()

    def on_stop(self) -> None:
        """Finish or hand back what runs. Threads that do not return die with the process."""
        TaskPool.on_drain()
        self._threads.shutdown(wait=False, cancel_futures=True)

    on_terminate = on_stop

    def _wake(self) -> None:
        if self._hub is not None:
            self._hub.call_soon(_nothing)


def _nothing() -> None:
    """What a woken loop has to do: look whether it may read again."""
