"""What stands where code says `threading`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from tests.simulation.scheduler import Actor, Scheduler

#: Seconds that nobody waits for: as long as it takes.
FOREVER = 1e9


class Event:
    """As `threading.Event`, but whoever waits hands the baton on."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._is_set = False
        self._waiting: list[Actor] = []

    def is_set(self) -> bool:
        """Whether it was set."""
        return self._is_set

    def set(self) -> None:
        """Wake all who wait."""
        self._is_set = True
        for actor in self._waiting:
            self._scheduler.wake(actor)

    def clear(self) -> None:
        """Whoever waits from now on waits for the next one."""
        self._is_set = False

    def wait(self, timeout: float | None = None) -> bool:
        """Come back when it is set, or after so many seconds."""
        if self._is_set:
            return True
        mine = self._scheduler.current
        self._waiting.append(mine)
        try:
            self._scheduler.wait(FOREVER if timeout is None else timeout)
        finally:
            self._waiting.remove(mine)
        return self._is_set


class Threading:
    """The module, as far as the engine uses it."""

    Lock = staticmethod(threading.Lock)
    RLock = staticmethod(threading.RLock)
    get_ident = staticmethod(threading.get_ident)

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler

    def Event(self) -> Event:  # noqa: N802  # as the module has it
        """A new event."""
        return Event(self._scheduler)

    def Thread(  # noqa: N802  # as the module has it
        self, target: Callable[..., object], args: tuple[Any, ...] = (), name: str = "", **_: Any
    ) -> _Thread:
        """A new actor of the process that asks for it, once it is started."""
        return _Thread(self._scheduler, lambda: target(*args), name or target.__name__)


class _Thread:
    def __init__(self, scheduler: Scheduler, action: Callable[[], object], name: str) -> None:
        self._scheduler, self._action, self._name = scheduler, action, name

    def start(self) -> None:
        process = self._scheduler.current.process
        self._scheduler.start(f"{process} {self._name}", process, self._action)

    def join(self, timeout: float | None = None) -> None:
        """Nobody waits for it."""
