"""The event loop that all `async def` agents of a worker process share.

It runs on a thread of its own. Heartbeats, and all that talks to servers, are on other threads:
an agent that blocks the loop holds up its neighbours here, and is named for it, but no lease.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
import traceback
import weakref
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import Context, ContextVar, copy_context
from typing import Any, Protocol

from orchestrator.agents.history import BRANCH, Branch
from orchestrator.telemetry.logging import get_logger

log = get_logger("orchestrator.loop")

#: Seconds between looks at whether the loop still turns, and after which it counts as blocked.
LOOK_EVERY = 0.25
BLOCKED_AFTER = 1.0
#: Seconds after which new attempts are given another loop.
GIVEN_UP_AFTER = 5.0
#: Calls that are named of an agent that blocks it, innermost first.
DEPTH = 4
#: Threads for what agents wait for beside their own: turns of calls, and their `to_thread`.
MOST_THREADS = 4_096


class Owner(Protocol):
    """Whoever the tasks of one attempt belong to."""

    @property
    def label(self) -> dict[str, Any]:
        """What a log line calls it."""

    def adopt(self, task: asyncio.Task[Any]) -> None:
        """A task was made by its code."""


#: Whose code runs; tasks inherit it from the one that makes them.
OWNER: ContextVar[Owner | None] = ContextVar("owner", default=None)


class SharedLoop:
    """One loop and its thread."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._threads = ThreadPoolExecutor(MOST_THREADS, "agent-io")
        self.loop.set_default_executor(self._threads)
        self.loop.set_task_factory(self._make_task)  # type: ignore[arg-type]  # a context may be None
        self.loop.set_exception_handler(_note)
        self._owners: weakref.WeakKeyDictionary[asyncio.Task[Any], Owner]
        self._owners = weakref.WeakKeyDictionary()
        #: when it was asked to turn, while it has not
        self._asked_at: float | None = None
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._turn, name="agent-loop", daemon=True)
        self._thread.start()
        threading.Thread(target=self._watch, name="agent-loop-watch", daemon=True).start()

    @property
    def blocked_for(self) -> float:
        """Seconds for which it has not done what it was asked to."""
        asked_at = self._asked_at
        return 0.0 if asked_at is None else time.monotonic() - asked_at

    def soon(self, action: Callable[..., object], *args: Any) -> None:
        """Have the loop do this; for other threads."""
        with suppress(RuntimeError):  # it is closing, and nobody waits for it any more
            self.loop.call_soon_threadsafe(action, *args)

    def close(self) -> None:
        """End the loop once it turns."""
        self._closed.set()
        self.soon(self.loop.stop)

    def _turn(self) -> None:
        asyncio.set_event_loop(self.loop)
        while not self._closed.is_set():
            try:
                self.loop.run_forever()
            except BaseException as error:
                # asyncio lets SystemExit and KeyboardInterrupt of a task through to here, having
                # given them to whoever awaits the task. The others go on.
                log.warning("loop.left", error=type(error).__name__)
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self._threads.shutdown(wait=False)
        self.loop.close()

    def _make_task(
        self,
        loop: asyncio.AbstractEventLoop,
        coroutine: Coroutine[Any, Any, Any],
        context: Context | None = None,
        **options: Any,
    ) -> asyncio.Task[Any]:
        owner = OWNER.get() if context is None else context.get(OWNER)
        if owner is not None:
            context = copy_context() if context is None else context
            made_by = context.get(BRANCH)
            context.run(BRANCH.set, Branch() if made_by is None else made_by.split())
        task = asyncio.Task(coroutine, loop=loop, context=context, **options)
        if owner is not None:
            self._owners[task] = owner
            owner.adopt(task)
        return task

    # --- whether it turns -----------------------------------------------------------------

    def _watch(self) -> None:
        warned = False
        while not self._closed.wait(LOOK_EVERY):
            if self._asked_at is None:
                warned, self._asked_at = False, time.monotonic()
                self.soon(self._turned)
            elif self.blocked_for > BLOCKED_AFTER and not warned:
                warned = True
                self._warn()

    def _turned(self) -> None:
        self._asked_at = None

    def _warn(self) -> None:
        task = asyncio.current_task(self.loop)
        owner = None if task is None else self._owners.get(task)
        frame = sys._current_frames().get(self._thread.ident or 0)
        calls = traceback.extract_stack(frame)[-DEPTH:] if frame else []
        where = " in ".join(f"{one.name}:{one.lineno}" for one in reversed(calls))
        log.warning(
            "loop.blocked",
            seconds=round(self.blocked_for, 1),
            where=where,
            **({} if owner is None else owner.label),
        )


class Loops:
    """The loop of this process: made when it is needed, another one when it is stuck."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._current: SharedLoop | None = None
        self._close: weakref.finalize[[], Loops] | None = None

    def current(self) -> SharedLoop:
        """The loop for a new attempt."""
        with self._lock:
            if self._current is None or self._current.blocked_for > GIVEN_UP_AFTER:
                # Whoever is on the old one stays there.
                self._current = SharedLoop()
                self._close = weakref.finalize(self, self._current.close)
            return self._current


def _note(_loop: asyncio.AbstractEventLoop, what: dict[str, Any]) -> None:
    log.warning("loop.error", message=what.get("message"), error=repr(what.get("exception")))
