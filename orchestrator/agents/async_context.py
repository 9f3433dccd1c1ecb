"""The context of an `async def` agent: the same operations, awaited."""

from __future__ import annotations

import asyncio
import inspect
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, ParamSpec, TypeVar

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

P = ParamSpec("P")
R = TypeVar("R")


class AsyncContext(AsyncMessaging):
    """See `Context`; what takes time is awaited."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.log = context.log
        self.id, self.agent = context.id, context.agent
        self.session, self.tenant, self.depth = context.session, context.tenant, context.depth

    @property
    def attempt(self) -> int:
        """The number of this attempt."""
        return self._context.attempt

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
                with inside_step(name):
                    value = function(*args, **kwargs)
                    if inspect.isawaitable(value):
                        value = await value
            except Exception as error:
                await self._do(tried.fail, error, retry)
            else:
                await self._do(tried.keep, value)
        return tried.result()

    async def spawn(
        self, agent: str, args: Mapping[str, Any] | None = None, **options: Any
    ) -> Handle:
        """See `Context.spawn`."""
        return await self._do(self._context.spawn, agent, args, **options)

    async def spawn_many(self, requests: Sequence[SpawnRequest]) -> list[Handle]:
        """See `Context.spawn_many`."""
        return await self._do(self._context.spawn_many, requests)

    def call(self, resource: str, **options: Any) -> Call:
        """See `Context.call`; used as `async with ctx.call(...) as call:`."""
        return self._context.call(resource, **options)

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

    def lock(self, name: str) -> Lock:
        """See `Context.lock`; here it is `async with`."""
        return self._context.lock(name)

    async def _do(self, operation: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """An operation, which may wait for a server, without holding up the loop."""
        return await asyncio.to_thread(operation, *args, **kwargs)
