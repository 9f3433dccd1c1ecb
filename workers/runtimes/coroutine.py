"""Runs one attempt of an `async def` agent on the shared loop.

The attempt's own thread carries out its operations, one after the other in the order in which
they were asked for; that order is their position in the journal. So hundreds of attempts may wait
for servers without standing in each other's way.

An agent may do several things at once (`asyncio.gather`). Then two rules hold. It is left for what
one of its tasks waits for only when its others can do nothing more. And when it runs again,
operations of several tasks are put into the order that was recorded.
"""

from __future__ import annotations

import asyncio
import contextvars
import math
import queue
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, ParamSpec, TypeVar, cast

from orchestrator.agents.history import History
from orchestrator.domain.errors import NonDeterministicAgent
from orchestrator.engine.running import Continued, Left, Run, Suspended
from orchestrator.telemetry.logging import get_logger
from workers.runtimes.loop import OWNER, SharedLoop

log = get_logger("orchestrator.runtime")

P = ParamSpec("P")
R = TypeVar("R")
Task = asyncio.Task[Any]

#: Turns of the loop after which what was answered has had its chance to ask for more.
TURNS = 8
#: Seconds that tasks which await something outside have before the agent is left for others.
PATIENCE = 1.0
#: The same, where more would be lost.
LONG_PATIENCE = 30.0
#: Seconds that tasks which an agent left behind have to end once they are cancelled.
LAST_WORDS = 2.0


@dataclass(eq=False)
class _Asked:
    """An operation that a task has asked for."""

    do: Callable[[], Any]
    answer: asyncio.Future[Any]
    task: Task | None
    #: what it raised, while that is kept from its task
    error: BaseException | None = None


class AsyncRun:
    """The tasks and operations of one attempt. See `Turns` and `Owner`.

    But for `run`, all of it happens on the loop's thread.
    """

    def __init__(self, run: Run, shared: SharedLoop, history: History) -> None:
        self._run, self._shared, self._history = run, shared, history
        self._jobs: queue.SimpleQueue[_Asked | None] = queue.SimpleQueue()
        self._tasks: set[Task] = set()
        self._main: Task | None = None
        #: operations on the thread, and what tasks do that is not to be broken off
        self._under_way = 0
        self._busy: Counter[Task | None] = Counter()
        #: operations that have to wait, and such that are not next in the journal
        self._held: list[_Asked] = []
        self._early: list[_Asked] = []
        self._left: Left | None = None
        self._is_over = False
        self._active_at = 0.0
        self._looks = 0

    @property
    def label(self) -> dict[str, Any]:
        """What a log line calls it."""
        return {"agent": self._run.instance.agent, "instance": self._run.id}

    def run(self, function: Callable[[], Awaitable[Any]]) -> Any:
        """Run it to its end on the loop, and its operations on the calling thread."""
        with self._run.interruptible(lambda: self._shared.soon(self._cancel)):
            self._shared.soon(self._start, function)
            while (asked := self._jobs.get()) is not None:
                self._carry_out(asked)
        assert self._main is not None
        return self._main.result()

    def _carry_out(self, asked: _Asked) -> None:
        value, error = None, None
        try:
            value = asked.do()
        except BaseException as raised:  # whoever asked is told
            error = raised
        self._shared.soon(self._answer, asked, value, error)

    # --- what an `AsyncContext` asks (see `Turns`) ------------------------------------------

    async def take(self, operation: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """An operation, in its turn."""
        if self._left is not None:
            raise self._left
        if self._is_over:
            raise asyncio.CancelledError
        context = contextvars.copy_context()
        do = partial(context.run, partial(operation, *args, **kwargs))
        asked = _Asked(do, self._shared.loop.create_future(), asyncio.current_task())
        self._hand_on(asked)
        return cast(R, await asked.answer)

    @contextmanager
    def busy(self) -> Iterator[None]:
        """While inside, the agent is not left because another of its tasks waits."""
        task = asyncio.current_task()
        self._busy[task] += 1
        try:
            yield
        finally:
            self._busy[task] -= 1
            self._look_soon()

    @property
    def is_left(self) -> bool:
        """Whether the agent is being left, to go on later."""
        return self._left is not None

    # --- its tasks --------------------------------------------------------------------------

    def adopt(self, task: Task) -> None:
        """A task was made by its code."""
        self._tasks.add(task)
        task.add_done_callback(self._one_ended)

    def _start(self, function: Callable[[], Awaitable[Any]]) -> None:
        async def main() -> Any:
            return await function()

        context = contextvars.copy_context()
        context.run(OWNER.set, self)
        self._main = self._shared.loop.create_task(main(), context=context)
        self._main.add_done_callback(self._ended)
        if self._run.was_interrupted:
            self._main.cancel()

    def _cancel(self) -> None:
        for task in list(self._tasks):
            task.cancel()

    def _one_ended(self, task: Task) -> None:
        self._tasks.discard(task)
        self._look_soon()

    def _ended(self, _main: Task) -> None:
        """Its function is done; what it has left behind ends with it."""
        self._cancel()
        nobodys = contextvars.Context()
        self._shared.loop.create_task(self._see_off(list(self._tasks)), context=nobodys)

    async def _see_off(self, rest: list[Task]) -> None:
        pending = (await asyncio.wait(rest, timeout=LAST_WORDS))[1] if rest else ()
        if pending:
            log.warning("agent.tasks_left", tasks=len(pending), **self.label)
        self._is_over = True
        self._jobs.put(None)

    # --- its operations ---------------------------------------------------------------------

    def _hand_on(self, asked: _Asked) -> None:
        self._under_way += 1
        self._active_at = time.monotonic()
        self._jobs.put(asked)

    def _answer(self, asked: _Asked, value: Any, error: BaseException | None) -> None:
        self._under_way -= 1
        self._active_at = time.monotonic()
        asked.error = error
        if isinstance(error, Left) and self._left is None:
            self._held.append(asked)
        elif isinstance(error, NonDeterministicAgent) and len(self._tasks) > 1:
            self._early.append(asked)
        else:
            _give(asked, value)
            if error is None:
                early, self._early = self._early, []
                for one in early:
                    self._hand_on(one)
        self._look_soon()

    # --- leaving it -------------------------------------------------------------------------

    def _look_soon(self) -> None:
        self._looks += 1
        self._shared.loop.call_soon(self._turned, self._looks, TURNS)

    def _turned(self, look: int, turns: int) -> None:
        if look != self._looks:
            return  # something has happened meanwhile
        if turns:
            self._shared.loop.call_soon(self._turned, look, turns - 1)
        else:
            self._look()

    def _look(self) -> None:
        """Go on where nothing happens any more unless this does something."""
        self._held = [one for one in self._held if not one.answer.done()]
        self._early = [one for one in self._early if not one.answer.done()]
        if self._left is not None or not (self._held or self._early):
            return
        patience = self._patience() - (time.monotonic() - self._active_at)
        if patience > 0:
            if patience < math.inf:
                self._shared.loop.call_later(patience, self._turned, self._looks, 0)
        elif self._early:
            # Nobody has asked for what is recorded there: it is another program.
            early, self._early = self._early, []
            for one in early:
                _give(one, None)
        else:
            self._leave()

    def _patience(self) -> float:
        """Seconds for which nothing must have happened before the agent is left."""
        if self._under_way:
            return math.inf
        stuck = {one.task for one in (*self._held, *self._early)}
        busy = {task for task, times in self._busy.items() if times} - stuck
        others = {task for task in self._tasks if not task.done()} - stuck - {self._main}
        if busy & others:
            return math.inf
        if busy or (self._early and others):
            return LONG_PATIENCE
        return PATIENCE if others else 0.0

    def _leave(self) -> None:
        """Leave it, for whoever asked first; all others ask again when it comes back."""
        reasons = [cast(Left, one.error) for one in self._held]
        left = next((one for one in reasons if isinstance(one, Continued)), reasons[0])
        if isinstance(left, Suspended):
            own = [one for one in left.entries if one.position == left.wait.position]
            left.entries = tuple(self._history.unwritten(*own))
        self._left = self._run.left = left
        # Cancelled tasks let their agents tidy up, and nobody takes that for an error.
        self._cancel()


def _give(asked: _Asked, value: Any) -> None:
    if asked.answer.done():
        return  # it was cancelled meanwhile
    if asked.error is None:
        asked.answer.set_result(value)
    elif isinstance(asked.error, StopIteration):
        asked.answer.set_exception(RuntimeError("an operation raised StopIteration"))
    else:
        asked.answer.set_exception(asked.error)
