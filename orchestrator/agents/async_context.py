"""The context of an `async def` agent: the same operations, awaited."""

from __future__ import annotations

import asyncio
import inspect
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from datetime import datetime
from typing import Any, ParamSpec, Protocol, TypeVar

from orchestrator.agents.async_messaging import AsyncMessaging
from orchestrator.agents.call import Call
from orchestrator.agents.context import Context
from orchestrator.agents.handle import Handle
from orchestrator.agents.history import inside_step
from orchestrator.agents.lock import Lock
from orchestrator.agents.state import AgentState
from orchestrator.domain.instance import SpawnRequest
from orchestrator.domain.retry import RetryPolicy
from orchestrator.engine.fault_points import reached
from orchestrator.engine.running import Left

P = ParamSpec("P")
R = TypeVar("R")


class Turns(Protocol):
    """Where the operations of an `async def` agent are carried out."""

    async def take(self, operation: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Carry out an operation, which may block, after those that were asked for before."""

    def busy(self) -> AbstractContextManager[None]:
        """While inside, the agent is not left because another of its tasks has to wait."""

    @property
    def is_left(self) -> bool:
        """Whether the agent is being left, to go on later."""


class Threads:
    """The simplest `Turns`: the first operation that has to wait leaves the agent."""

    is_left = False

    async def take(self, operation: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """See `Turns`."""
        try:
            return await asyncio.to_thread(operation, *args, **kwargs)
        except Left:
            self.is_left = True
            raise

    def busy(self) -> AbstractContextManager[None]:
        """See `Turns`."""
        return nullcontext()


class AsyncContext(AsyncMessaging):
    """See `Context`; what takes time is awaited."""

    def __init__(self, context: Context, turns: Turns | None = None) -> None:
        self._context, self._turns = context, turns or Threads()
        self.log = context.log
        self.id, self.agent = context.id, context.agent
        self.session, self.tenant, self.depth = context.session, context.tenant, context.depth

    @property
    def attempt(self) -> int:
        """The number of this attempt."""
        return self._context.attempt

    @property
    def failures(self) -> int:
        """How many attempts have failed before this one."""
        return self._context.failures

    @property
    def state(self) -> AgentState:
        """See `Context.state`; its changes are written on the spot."""
        return self._context.state

    def check(self) -> None:
        """Leave here if this attempt has to stop."""
        self._context.check()

    def progress(self, fraction: float | None = None, message: str = "") -> None:
        """See `Context.progress`; it takes no time, so it is not awaited."""
        self._context.progress(fraction, message)

    async def step(
        self,
        name: str,
        function: Callable[..., Any],
        /,
        *args: Any,
        retry: RetryPolicy | None = None,
        **kwargs: Any,
    ) -> Any:
        """See `Context.step`; the function may be an `async def`."""
        tried = await self._do(self._context.open_step, name)
        while not tried.is_done:
            reached("step.before")
            try:
                with self._turns.busy():
                    await self._do(tried.keep, await self._try(name, function, args, kwargs))
            except _StepRaised as raised:
                await self._do(tried.fail, raised.error, retry)
        return tried.result()

    async def _try(
        self, name: str, function: Callable[..., Any], args: Any, kwargs: Mapping[str, Any]
    ) -> Any:
        try:
            with inside_step(name):
                value = function(*args, **kwargs)
                return await value if inspect.isawaitable(value) else value
        except Exception as error:
            raise _StepRaised(error) from None

    async def spawn(
        self, agent: str, args: Mapping[str, Any] | None = None, **options: Any
    ) -> Handle:
        """See `Context.spawn`."""
        return await self._do(self._context.spawn, agent, args, **options)

    async def spawn_many(self, requests: Sequence[SpawnRequest]) -> list[Handle]:
        """See `Context.spawn_many`."""
        return await self._do(self._context.spawn_many, requests)

    @asynccontextmanager
    async def call(self, resource: str, **options: Any) -> AsyncIterator[Call]:
        """See `Context.call`; used as `async with ctx.call(...) as call:`."""
        asked = await self._do(self._context.call, resource, **options)
        with self._turns.busy():
            async with asked as call:
                yield call

    async def wait(
        self,
        handles: Handle | Iterable[Handle],
        *,
        timeout: float | None = None,
        return_exceptions: bool = False,
    ) -> Any:
        """See `Context.wait`."""
        return await self._do(
            self._context.wait, handles, timeout=timeout, return_exceptions=return_exceptions
        )

    async def wait_any(self, handles: Iterable[Handle], *, timeout: float | None = None) -> Handle:
        """See `Context.wait_any`; `await ctx.wait(handle)` gives its result at once."""
        return await self._do(self._context.wait_any, handles, timeout=timeout)

    async def wait_at_least(
        self, n: int, handles: Iterable[Handle], *, timeout: float | None = None
    ) -> list[Handle]:
        """See `Context.wait_at_least`."""
        return await self._do(self._context.wait_at_least, n, handles, timeout=timeout)

    async def sleep(self, seconds: float) -> None:
        """See `Context.sleep`."""
        await self._do(self._context.sleep, seconds)

    async def now(self) -> datetime:
        """See `Context.now`."""
        return await self._do(self._context.now)

    async def random(self) -> float:
        """See `Context.random`."""
        return await self._do(self._context.random)

    async def uuid(self) -> uuid.UUID:
        """See `Context.uuid`."""
        return await self._do(self._context.uuid)

    async def continue_as_new(self, **args: Any) -> None:
        """See `Context.continue_as_new`."""
        await self._do(self._context.continue_as_new, **args)

    def handle(self, instance_id: str) -> Handle:
        """See `Context.handle`."""
        return self._context.handle(instance_id)

    @asynccontextmanager
    async def lock(self, name: str) -> AsyncIterator[Lock]:
        """See `Context.lock`; here it is `async with`."""
        lock = self._context.lock(name)
        await self._do(lock.__enter__)
        try:
            yield lock
        finally:
            # An instance that is left in the middle to go on later keeps what it holds.
            if not self._turns.is_left:
                await self._do(lock.__exit__)

    async def _do(self, operation: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """An operation, which may wait for a server, without holding up the loop."""
        return await self._turns.take(operation, *args, **kwargs)


class _StepRaised(Exception):
    """What the function of a step raised, on its way past what the operation itself raises."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error
