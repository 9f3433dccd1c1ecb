"""Messages and shared values for an `async def` agent: the same operations, awaited."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, ParamSpec, TypeVar

from orchestrator.agents.context import Context
from orchestrator.agents.handle import Handle
from orchestrator.agents.shared import AsyncShared
from orchestrator.domain.message import Message, Sent

P = ParamSpec("P")
R = TypeVar("R")


class AsyncMessaging:
    """See `Messaging` and `Sharing`."""

    _context: Context

    async def send(self, to: Handle | str, body: Any) -> Sent:
        """See `Context.send`."""
        return await self._do(self._context.send, to, body)

    async def request(self, to: Handle | str, body: Any, *, timeout: float | None = None) -> Any:
        """See `Context.request`."""
        return await self._do(self._context.request, to, body, timeout=timeout)

    async def reply(self, message: Message, body: Any) -> Sent:
        """See `Context.reply`."""
        return await self._do(self._context.reply, message, body)

    async def publish(self, topic: str, body: Any) -> Sent:
        """See `Context.publish`."""
        return await self._do(self._context.publish, topic, body)

    async def subscribe(self, topic: str) -> None:
        """See `Context.subscribe`."""
        await self._do(self._context.subscribe, topic)

    async def broadcast(self, body: Any, *, to: Literal["session", "subtree"] = "session") -> Sent:
        """See `Context.broadcast`."""
        return await self._do(self._context.broadcast, body, to=to)

    async def receive(self, *, timeout: float | None = None, topic: str | None = None) -> Message:
        """See `Context.receive`."""
        return await self._do(self._context.receive, timeout=timeout, topic=topic)

    async def signal(self, name: str, *, timeout: float | None = None) -> Any:
        """See `Context.signal`."""
        return await self._do(self._context.signal, name, timeout=timeout)

    @property
    def shared(self) -> AsyncShared:
        """See `Context.shared`; here every call is awaited."""
        return AsyncShared(self._context.shared, self._do)

    async def _do(self, operation: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        raise NotImplementedError
