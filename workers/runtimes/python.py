"""Runs Python agents on the calling thread: `def` directly, `async def` on a loop of its own."""

from __future__ import annotations

import asyncio
import ctypes
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from orchestrator.agents.context import AsyncContext, Context
from orchestrator.agents.registry import RegisteredAgent, Registry
from orchestrator.domain import payload
from orchestrator.domain.call import CallRefusal
from orchestrator.domain.errors import (
    CallRefused,
    DeadlockDetected,
    NonDeterministicAgent,
    SpawnRefused,
)
from orchestrator.domain.lifecycle import Reason
from orchestrator.engine.deps import Deps
from orchestrator.engine.execute import (
    Completed,
    Failed,
    HandedBack,
    Host,
    Outcome,
    outcome_of_stop,
)
from orchestrator.engine.running import Run, Stop, StopReason
from orchestrator.telemetry.logging import get_logger

log = get_logger("orchestrator.runtime")

#: Characters of a message and of a traceback that are recorded.
LONGEST_MESSAGE = 2_000
LONGEST_TRACEBACK = 8_000


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
            return _not_loaded(run)
        call = _call_async if registered.is_async else _call
        try:
            value = call(registered, Context(self._deps, host, run), run)
        except Stop:
            return outcome_of_stop(run)
        except BaseException as error:  # whatever an agent raises is its failure
            return outcome_of_stop(run) if run.stopped.is_set() else _outcome_of(run, error)
        return self._completed(run, value)

    def _completed(self, run: Run, value: object) -> Outcome:
        try:
            text = payload.encode(value, name="result", max_bytes=self._max_payload_bytes)
        except (payload.NotJSON, payload.TooLarge) as error:
            fault = {"type": type(error).__name__, "message": str(error)}
            return Failed(Reason.INVALID_RESULT, fault, retryable=False)
        return Completed(text)


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


def _not_loaded(run: Run) -> Outcome:
    message = (
        f"This worker does not have the agent {run.instance.agent!r}. Start it with "
        "--agents MODULE, or give the agent a pool of its own workers."
    )
    return Failed(Reason.AGENT_NOT_LOADED, {"type": "AgentNotLoaded", "message": message})


def _outcome_of(run: Run, error: BaseException) -> Outcome:
    if isinstance(error, CallRefused) and error.code == CallRefusal.BREAKER_OPEN:
        return HandedBack(Reason.BREAKER_OPEN, error.retry_after or 0.0)
    return _failed(run, error)


def _failed(run: Run, error: BaseException) -> Outcome:
    log.info("agent.raised", instance=run.id, agent=run.instance.agent, error=type(error).__name__)
    fault = {
        "type": type(error).__name__,
        "message": _storable(_text_of(error))[:LONGEST_MESSAGE],
        "traceback": _storable("".join(traceback.format_exception(error)))[-LONGEST_TRACEBACK:],
    }
    is_exhausted = _is_exhausted(error)
    retryable = not isinstance(error, NonDeterministicAgent) and not is_exhausted
    is_deadlock = isinstance(error, DeadlockDetected)
    reason = Reason.DEADLOCK_DETECTED if is_deadlock else Reason.AGENT_ERROR
    return Failed(Reason.BUDGET_EXCEEDED if is_exhausted else reason, fault, retryable)


def _is_exhausted(error: BaseException) -> bool:
    """Whether a budget is used up; no other attempt would find more in it."""
    return (
        isinstance(error, CallRefused | SpawnRefused)
        and error.code == Reason.BUDGET_EXCEEDED
        and not error.retryable
    )


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return "(the error cannot be told: its __str__ raises)"


def _storable(text: str) -> str:
    """Text that PostgreSQL can hold."""
    return text.replace("\x00", "\\0").encode(errors="replace").decode()
