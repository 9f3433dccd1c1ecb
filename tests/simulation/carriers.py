"""Threads that carry one actor after another, because making one takes longer than most live."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

Action = Callable[[], None]


class Carriers:
    """As many threads as there ever were actors at once."""

    def __init__(self) -> None:
        self._idle: list[queue.SimpleQueue[Action | None]] = []
        self._all: list[threading.Thread] = []
        self._lock = threading.Lock()

    def carry(self, action: Action) -> None:
        """Run an action, which must not raise, on a thread that does nothing else."""
        with self._lock:
            box = self._idle.pop() if self._idle else self._make()
        box.put(action)

    def close(self) -> None:
        """End the threads, which must be idle."""
        for box in self._idle:
            box.put(None)
        for thread in self._all:
            thread.join(timeout=5)

    def _make(self) -> queue.SimpleQueue[Action | None]:
        box: queue.SimpleQueue[Action | None] = queue.SimpleQueue()
        thread = threading.Thread(target=self._work, args=(box,), name="actor", daemon=True)
        self._all.append(thread)
        thread.start()
        return box

    def _work(self, box: queue.SimpleQueue[Action | None]) -> None:
        while (action := box.get()) is not None:
            action()
            with self._lock:
                self._idle.append(box)
