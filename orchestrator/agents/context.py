"""What an agent's function is given first: who it is, and what it can ask for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, overload

from orchestrator.agents.call import Call
from orchestrator.agents.handle import Handle, failure_of
from orchestrator.agents.lock import Lock
from orchestrator.domain.budget import Budget
from orchestrator.domain.call import Amounts
from orchestrator.domain.errors import InvalidRequest
from orchestrator.domain.ids import parse_id
from orchestrator.domain.instance import Instance, Parent, SpawnRequest
from orchestrator.domain.lifecycle import State
from orchestrator.domain.priority import Priority
from orchestrator.engine import cancel, lock, spawn, wait
from orchestrator.engine.call import Wish
from orchestrator.engine.deps import Deps
from orchestrator.engine.execute import Host
from orchestrator.engine.running import HeldLock, Run
from orchestrator.telemetry.logging import get_logger


class Context:
    """The running attempt, seen from its own code.

    Every method is a point where an attempt that was told to stop is left: it raises a private
    `BaseException` that an agent should let pass (`finally` blocks run).
    """

    def __init__(self, deps: Deps, host: Host, run: Run) -> None:
        self._deps, self._host, self._run = deps, host, run
        self._spawned = 0
        # One thing at a time, also in an `async def` that runs several tasks of its own.
        self._lock = threading.RLock()
        instance = run.instance
        self.log = get_logger("orchestrator.agent").bind(
            tenant=instance.tenant,
            session=instance.session,
            agent=instance.agent,
            instance=instance.id,
            attempt=instance.attempt,
        )

    @property
    def id(self) -> str:
        """The id of this instance."""
        return self._run.id

    @property
    def agent(self) -> str:
        """The name of this agent."""
        return self._run.instance.agent

    @property
    def session(self) -> str:
        """The session whose tree this instance belongs to."""
        return self._run.instance.session

    @property
    def tenant(self) -> str:
        """The tenant of the session."""
        return self._run.instance.tenant

    @property
    def depth(self) -> int:
        """Levels below the root; 0 for a root."""
        return self._run.instance.depth

    @property
    def attempt(self) -> int:
        """The number of this attempt; it grows with each dispatch, also after a wait."""
        return self._run.attempt

    def check(self) -> None:
        """Leave here if this attempt has to stop; call it now and then in long work."""
        self._run.check()

    def spawn(
        self,
        agent: str,
        args: Mapping[str, Any] | None = None,
        *,
        priority: str | Priority | None = None,
        timeout: float | None = None,
        pool: str | None = None,
        on_limit: str = "queue",
        idempotency_key: str | None = None,
        cost: float | None = None,
        not_before: datetime | float | None = None,
        expires_after: float | None = None,
        budget: Budget | None = None,
    ) -> Handle:
        """Spawn a child. Its priority is this instance's own unless said otherwise.

        Spawns are recorded by their order: when this agent runs again, after a crash, its first
        spawn is its first child again, and so on. Options are those of `Orchestrator.spawn`.
        Raises `SpawnRefused`.
        """
        with self._lock:
            self.check()
            request = SpawnRequest(
                agent,
                {} if args is None else args,
                priority=self._run.instance.priority if priority is None else priority,
                timeout=timeout,
                pool=pool,
                on_limit=on_limit,
                idempotency_key=idempotency_key,
                cost=cost,
                not_before=not_before,
                expires_after=expires_after,
                budget=budget,
                tenant=self.tenant,
            )
            child = spawn.spawn(self._deps, request, self._as_parent())
            # Only a spawn that was accepted takes a place in the order.
            self._spawned += 1
            return Handle(child, self)

    def call(
        self,
        resource: str,
        *,
        requests: float = 1,
        input_tokens: float = 0,
        output_tokens: float = 0,
        usd: float = 0,
        on_limit: str = "wait",
        timeout: float | None = None,
    ) -> Call:
        """One call of a limited resource, as `with ctx.call("anthropic/opus") as call:`.

        The amounts are estimates, corrected by `call.settle(...)`. Entering waits for its turn,
        up to `timeout` seconds, or raises `CallRefused` at once with `on_limit="refuse"`. An open
        breaker always raises; an agent that lets it pass is put back in line.
        """
        self.check()
        amounts = Amounts(requests, input_tokens, output_tokens, usd)
        return Call(self._deps, Wish(resource, self.tenant, amounts, on_limit, timeout), self._run)

    @overload
    def wait(self, handles: Handle, *, return_exceptions: bool = False) -> Any: ...

    @overload
    def wait(self, handles: Iterable[Handle], *, return_exceptions: bool = False) -> list[Any]: ...

    def wait(self, handles: Handle | Iterable[Handle], *, return_exceptions: bool = False) -> Any:
        """The results of all, in their order, once all have ended; of one handle, its result.

        This instance holds no slot while it waits. A child that failed or was cancelled raises
        `AgentFailed` or `AgentCancelled`, the first one in order; with `return_exceptions` such
        an exception stands in its place among the results instead, as in `asyncio.gather`.
        """
        single = isinstance(handles, Handle)
        ids = [handles.id] if isinstance(handles, Handle) else [one.id for one in handles]
        ended = self.wait_for(ids, None)
        results = [_outcome(instance) for instance in ended]
        if not return_exceptions:
            for result in results:
                if isinstance(result, BaseException):
                    raise result
        return results[0] if single else results

    def wait_any(self, handles: Iterable[Handle]) -> Handle:
        """The one of them that ended first, once one has; its result is there at once."""
        return self.wait_at_least(1, handles)[0]

    def wait_at_least(self, n: int, handles: Iterable[Handle]) -> list[Handle]:
        """The first `n` of them that ended, in that order, once so many have.

        This instance holds no slot while it waits. One that failed has ended too; asked for its
        result, its handle raises.
        """
        by_id = {handle.id: handle for handle in handles}
        if not 1 <= n <= len(by_id):
            raise InvalidRequest(
                "INVALID_WAIT",
                f"{n} of {len(by_id)} instances cannot be waited for; it must be at least 1 and "
                "at most all of them.",
            )
        with self._lock:
            found = wait.wait_suspended(self._deps, self._host, self._run, list(by_id), n)
        # By when they ended, so that an agent that runs again is given the same ones.
        ended = sorted((one.ended_at, one.id) for one in found if one.ended_at is not None)
        return [by_id[one] for _, one in ended[:n]]

    def handle(self, instance_id: str) -> Handle:
        """A handle on any instance whose id is known, spawned here or not."""
        return Handle(parse_id(instance_id), self)

    def lock(self, name: str) -> Lock:
        """A lock of this tenant: `with ctx.lock("repo:main") as lock: ...`.

        This instance holds no slot while it waits for it. The lock is let go of at the end of the
        block, and in any case with the end of this attempt.
        """
        return Lock(name, self)

    # --- what handles and locks ask (see `Desk`, `LockDesk`) -------------------------------

    def wait_for(self, ids: Sequence[str], timeout: float | None) -> list[Instance]:
        """The instances once they have ended. With a timeout, the slot is kept meanwhile."""
        with self._lock:
            self.check()
            if timeout is not None:
                return wait.wait_keeping(self._deps, self._run, ids, timeout)
            return wait.wait_suspended(self._deps, self._host, self._run, ids)

    def status_of(self, instance_id: str) -> State:
        """The state of an instance now."""
        self.check()
        return self._deps.store.standings([instance_id])[instance_id].state

    def cancel(self, instance_id: str) -> list[str]:
        """Cancel an instance and everything below it."""
        self.check()
        return cancel.cancel(self._deps, instance_id)

    def take_lock(self, name: str) -> HeldLock:
        """Hold a lock, waiting for it without a slot."""
        with self._lock:
            return lock.take(self._deps, self._host, self._run, name)

    def give_lock_back(self, held: HeldLock) -> None:
        """Let go of a lock."""
        with self._lock:
            lock.give_back(self._deps, self._run, held)

    def _as_parent(self) -> Parent:
        instance = self._run.instance
        return Parent(
            id=instance.id,
            attempt=self._run.attempt,
            session=instance.session,
            tenant=instance.tenant,
            root_id=instance.root_id,
            depth=instance.depth,
            position=self._spawned,
        )


class AsyncContext:
    """The same for an `async def` agent: what takes time is awaited."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.log = context.log
        self.id, self.agent = context.id, context.agent
        self.session, self.tenant, self.depth = context.session, context.tenant, context.depth

    @property
    def attempt(self) -> int:
        """The number of this attempt."""
        return self._context.attempt

    def check(self) -> None:
        """Leave here if this attempt has to stop."""
        self._context.check()

    async def spawn(
        self, agent: str, args: Mapping[str, Any] | None = None, **options: Any
    ) -> Handle:
        """See `Context.spawn`."""
        return await asyncio.to_thread(self._context.spawn, agent, args, **options)

    def call(self, resource: str, **options: Any) -> Call:
        """See `Context.call`; used as `async with ctx.call(...) as call:`."""
        return self._context.call(resource, **options)

    async def wait(
        self, handles: Handle | Iterable[Handle], *, return_exceptions: bool = False
    ) -> Any:
        """See `Context.wait`."""
        return await asyncio.to_thread(
            self._context.wait, handles, return_exceptions=return_exceptions
        )

    async def wait_any(self, handles: Iterable[Handle]) -> Handle:
        """See `Context.wait_any`; `await ctx.wait(handle)` gives its result at once."""
        return await asyncio.to_thread(self._context.wait_any, handles)

    async def wait_at_least(self, n: int, handles: Iterable[Handle]) -> list[Handle]:
        """See `Context.wait_at_least`."""
        return await asyncio.to_thread(self._context.wait_at_least, n, handles)

    def handle(self, instance_id: str) -> Handle:
        """See `Context.handle`."""
        return self._context.handle(instance_id)

    def lock(self, name: str) -> Lock:
        """See `Context.lock`; here it is `async with`."""
        return self._context.lock(name)


def _outcome(instance: Instance) -> Any:
    return instance.result if instance.state is State.COMPLETED else failure_of(instance)
