"""Runs Python agents on the calling thread: `def` directly, `async def` on a loop of its own."""

from __future__ import annotations

import asyncio
import ctypes
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from orchestrator.agents.async_context import AsyncContext
from orchestrator.agents.backend import EngineBackend
from orchestrator.agents.context import Context
from orchestrator.agents.registry import RegisteredAgent, Registry
from orchestrator.engine.deps import Deps
from orchestrator.engine.execute import Host, Outcome, outcome_of_stop
from orchestrator.engine.running import Left, Run, Stop, StopReason
from workers.runtimes.outcomes import completed, not_loaded, raised


class PythonRuntime:
    """See `Runtime`."""

    def __init__(self, deps: Deps, registry: Registry, max_payload_bytes: int) -> None:
        self._deps = deps
        self._registry = registry
        self._max_payload_bytes = max_payload_bytes

    def run(self, host: Host, run: Run) -> Outcome:
        """Run the attempt to its end on the calling thread. Never raises."""
        registered = self._registry.get(run.instance.agent)
        if registered is None:
            return not_loaded(run)
        context = Context(EngineBackend(self._deps, run))
        call = _call_async if registered.is_async else _call
        try:
            value = call(registered, context, run)
            # Also where the function has caught what was to leave it.
            run.check()
            context.history.check_end()
        except Stop:
            return outcome_of_stop(run)
        except Left as left:
            return left
        except BaseException as error:  # whatever an agent raises is its failure
            if run.stopped.is_set():
                return outcome_of_stop(run)
            return run.left or raised(run, error, context.history.rewind_for(error))
        return completed(value, self._max_payload_bytes)


def _call(registered: RegisteredAgent, context: Context, run: Run) -> Any:
    thread = threading.get_ident()
    try:
        with run.interruptible(lambda: _raise_in(thread)):
            return registered.function(context, **run.instance.args)
    finally:
        _absorb_interrupt(run)


def _call_async(registered: RegisteredAgent, context: Context, run: Run) -> Any:
    async def main() -> Any:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        with run.interruptible(lambda: _soon(loop, task.cancel)):
            return await registered.function(AsyncContext(context), **run.instance.args)

    return asyncio.run(main())


def _soon(loop: asyncio.AbstractEventLoop, action: Callable[[], object]) -> None:
    # The loop may be closing at this very moment; then there is nothing left to interrupt.
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(action)


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
