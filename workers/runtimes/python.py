"""Runs Python agents: `def` on the calling thread, `async def` on the loop they share."""

from __future__ import annotations

import ctypes
import threading
from contextlib import suppress
from functools import partial
from typing import Any, NoReturn

from orchestrator.agents.async_context import AsyncContext
from orchestrator.agents.backend import EngineBackend
from orchestrator.agents.context import Context
from orchestrator.agents.registry import RegisteredAgent, Registry
from orchestrator.engine.deps import Deps
from orchestrator.engine.execute import Host, Outcome
from orchestrator.engine.running import Left, Run, Stop, StopReason
from workers.runtimes.coroutine import AsyncRun
from workers.runtimes.loop import Loops
from workers.runtimes.outcomes import not_loaded, outcome_of


class PythonRuntime:
    """See `Runtime`."""

    def __init__(self, deps: Deps, registry: Registry, max_payload_bytes: int) -> None:
        self._deps = deps
        self._registry = registry
        self._max_payload_bytes = max_payload_bytes
        self._loops = Loops()

    def run(self, host: Host, run: Run) -> Outcome:
        """Run the attempt to its end on the calling thread. Never raises."""
        registered = self._registry.get(run.instance.agent)
        if registered is None:
            return not_loaded(run)
        is_async = registered.is_async
        context = Context((_AsyncBackend if is_async else EngineBackend)(self._deps, run))
        call = self._call_async if is_async else call_function
        code = partial(call, registered, context, run)
        return outcome_of(run, context.history, code, self._max_payload_bytes)

    def _call_async(self, registered: RegisteredAgent, context: Context, run: Run) -> Any:
        tasks = AsyncRun(run, self._loops.current(), context.history)
        given = AsyncContext(context, tasks)
        return tasks.run(lambda: registered.function(given, **run.instance.args))


class _AsyncBackend(EngineBackend):
    """One operation that has to wait does not end the run: other tasks may still do something."""

    def leave(self, how: Left) -> NoReturn:
        raise how


def call_function(registered: RegisteredAgent, context: Context, run: Run) -> Any:
    """Call a `def` on this thread, into which it can be broken."""
    thread = threading.get_ident()
    try:
        with run.interruptible(lambda: _raise_in(thread)):
            return registered.function(context, **run.instance.args)
    finally:
        _absorb_interrupt(run)


class _Interrupt(Stop):
    """`Stop`, as Python can raise it in another thread: made without arguments."""

    def __init__(self) -> None:
        super().__init__(StopReason.FENCED)


def _raise_in(thread: int) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(_Interrupt))


def _absorb_interrupt(run: Run) -> None:
    """Let an interrupt that came too late strike here, where it does no harm.

    Python raises it at some backward jump after it was sent; none can be sent any more.
    """
    if run.was_interrupted:
        with suppress(_Interrupt):
            for _ in range(1_000):
                pass
