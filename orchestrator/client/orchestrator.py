"""`Orchestrator`: spawn agents, follow them, stop them."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from sqlalchemy import Connection

from orchestrator import bootstrap
from orchestrator.agents.call import Call
from orchestrator.agents.handle import Handle, result_of
from orchestrator.agents.registry import REGISTRY
from orchestrator.agents.shared import Shared
from orchestrator.client.messaging import MessagingCalls
from orchestrator.client.session import Session
from orchestrator.config.settings import Settings
from orchestrator.domain.budget import Budget, BudgetState
from orchestrator.domain.call import Amounts, Breaker
from orchestrator.domain.cancel import CancelReport
from orchestrator.domain.errors import InstanceNotFound, InvalidRequest
from orchestrator.domain.explanation import Explanation
from orchestrator.domain.ids import is_id, parse_id
from orchestrator.domain.instance import Event, Instance, SpawnRequest, TreeNode
from orchestrator.domain.lifecycle import STORED, State
from orchestrator.domain.limits import LimitChange, LimitForecast, LimitState
from orchestrator.domain.pause import PauseReport
from orchestrator.domain.priority import Priority
from orchestrator.domain.progress import Progress
from orchestrator.domain.queue import QueueState
from orchestrator.domain.resource import Resource
from orchestrator.domain.waits import Stall
from orchestrator.engine import (
    budgets,
    cancel,
    explain,
    limits,
    pause,
    resources,
    retry,
    spawn,
    survey,
    wait,
    what_if,
)
from orchestrator.engine.call import RunDesk, Wish
from orchestrator.engine.deps import Deps
from orchestrator.engine.shared import SessionValues
from orchestrator.store.rows import to_trees
from orchestrator.telemetry import instruments


class Orchestrator(MessagingCalls):
    """The backend, for a service. Safe to share between threads; make one per process.

    orchestrator = Orchestrator.from_settings()
    handle = orchestrator.spawn("summarise", {"url": "https://example.org"})
    print(handle.result(timeout=30))
    """

    def __init__(self, deps: Deps) -> None:
        self._deps = deps

    @classmethod
    def from_settings(cls, settings: Settings | None = None) -> Self:
        """Connect by the environment, else to the embedded stack that runs in this folder.

        Raises `ConfigurationError` when there is neither. A program that uses `prometheus_client`
        finds our metrics beside its own.
        """
        settings = settings or Settings.load()
        if settings.metrics and "prometheus_client" in sys.modules:
            instruments.switch_on()
        return cls(bootstrap.build(settings, specs=REGISTRY.specs()))

    def close(self) -> None:
        """Give all connections back."""
        bootstrap.close(self._deps)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def spawn(
        self,
        agent: str,
        args: Mapping[str, Any] | None = None,
        *,
        session: str | None = None,
        tenant: str = "default",
        priority: str | Priority = Priority.NORMAL,
        idempotency_key: str | None = None,
        timeout: float | None = None,
        on_limit: str = "queue",
        pool: str | None = None,
        cost: float | None = None,
        not_before: datetime | float | None = None,
        expires_after: float | None = None,
        budget: Budget | None = None,
        after: Iterable[Handle | str] = (),
        on_failure: str = "fail",
        preemptible: bool | None = None,
        progress_timeout: float | None = None,
        connection: Connection | None = None,
    ) -> Handle:
        """Ask for an instance of `agent`. When this returns, the spawn is accepted and durable.

        `args` are JSON values by argument name. `session` names the tree it belongs to (None: a
        new one). `timeout` is the seconds an attempt may take, `progress_timeout` those it may show
        no sign of progress. `on_limit` says what happens
        where a limit is met: wait in line (`queue`) or raise (`refuse`). A repeated
        `idempotency_key` of a tenant answers with the first instance. `cost` is what it is
        expected to take (seconds of a slot, or tokens): fair shares count it until the real cost
        is known. `not_before` delays the start, to a time or by seconds. After `expires_after`
        seconds in line it fails with reason `QUEUE_TIMEOUT`. `budget` is what it and everything
        below it may use. It starts once all of `after` have ended; where one ended without a
        result it fails, or starts all the same with `on_failure="run"`. `preemptible` says
        whether something more urgent may take its slot. With `connection`, the spawn is recorded
        in the caller's own open transaction and starts once that commits.

        Raises `SpawnRefused` (a limit), `InvalidSpawn` (the request), `Unavailable` (a server).
        """
        request = SpawnRequest(
            agent=agent,
            args={} if args is None else args,
            session=session,
            tenant=tenant,
            priority=priority,
            idempotency_key=idempotency_key,
            timeout=timeout,
            on_limit=on_limit,
            pool=pool,
            cost=cost,
            not_before=not_before,
            expires_after=expires_after,
            budget=budget,
            after=[one.id if isinstance(one, Handle) else one for one in after],
            on_failure=on_failure,
            preemptible=preemptible,
            progress_timeout=progress_timeout,
        )
        if connection is not None:
            return self.handle(spawn.spawn_within(self._deps, request, connection).id)
        return self.handle(spawn.spawn(self._deps, request))

    def call(
        self,
        resource: str,
        *,
        tenant: str = "default",
        requests: float = 1,
        input_tokens: float = 0,
        output_tokens: float = 0,
        usd: float = 0,
        on_limit: str = "wait",
        timeout: float | None = None,
    ) -> Call:
        """One call of a limited resource, outside of agents; see `Context.call`."""
        amounts = Amounts(requests, input_tokens, output_tokens, usd)
        return Call(RunDesk(self._deps), Wish(resource, tenant, amounts, on_limit, timeout))

    def declare(self, *declared: Resource) -> None:
        """Set how much of these resources may be used, by all processes at once."""
        resources.declare(self._deps, declared)

    def breakers(self) -> Sequence[Breaker]:
        """The breakers, buckets and calls of all resources, by name."""
        return resources.breakers(self._deps)

    def force_breaker(self, resource: str, mode: str, *, tenant: str | None = None) -> None:
        """Hold a breaker `open` or `closed`, or leave it to itself again (`auto`)."""
        resources.force(self._deps, resource, tenant, mode)

    def spawn_many(self, requests: Sequence[SpawnRequest]) -> list[Handle]:
        """Accept all of these spawns, or none and raise for the first that is refused.

        One may start `after` others that come earlier in the list: a whole graph at once.
        """
        return [self.handle(one) for one in spawn.spawn_many(self._deps, requests)]

    def handle(self, instance_id: str) -> Handle:
        """A handle on an instance whose id is known."""
        return Handle(parse_id(instance_id), self)

    def get(self, instance_id: str) -> Instance:
        """The instance as it is now; raises `InstanceNotFound`."""
        found = self._deps.store.get(parse_id(instance_id))
        if found is None:
            raise InstanceNotFound(instance_id)
        return found

    def list(
        self,
        *,
        session: str | None = None,
        tenant: str | None = None,
        state: str | None = None,
        agent: str | None = None,
        limit: int = 100,
    ) -> list[Instance]:
        """The newest instances that match all filters given, newest first."""
        if state is not None and state not in STORED:
            names = ", ".join(STORED)
            raise InvalidRequest(
                "INVALID_STATE",
                f"{state!r} is not a state to list by. Choose one of: {names}. (An instance that "
                "has been handed out but not begun is listed as queued.)",
            )
        check_filter(session, tenant, agent, limit=limit)
        return self._deps.store.list(
            session=session, tenant=tenant, state=state, agent=agent, limit=limit
        )

    def tree(self, session_or_id: str) -> Sequence[TreeNode]:
        """The trees of a session, or the tree below an instance, oldest first.

        Raises `InstanceNotFound` when neither exists.
        """
        if not session_or_id.isprintable():
            raise InstanceNotFound(session_or_id)
        members = self._deps.store.session_members(session_or_id)
        if not members:
            members = self._deps.store.subtree(_id_or_unknown(session_or_id))
        if not members:
            raise InstanceNotFound(session_or_id)
        return to_trees(members)

    def events(self, instance_id: str) -> Sequence[Event]:
        """The audit trail of an instance, oldest first; raises `InstanceNotFound`."""
        found = self._deps.store.events(parse_id(instance_id))
        if not found:
            raise InstanceNotFound(instance_id)
        return found

    def session(self, name: str, *, tenant: str = "default") -> Session:
        """A session by its name: what its agents share, who is in it, and messages to them.

        It need not exist: the first spawn, or the first shared value, makes it the tenant's.
        """
        return Session(name, tenant, Shared(SessionValues(self._deps, name, tenant)), self)

    def set_budget(self, session: str, budget: Budget, *, tenant: str = "default") -> None:
        """Bound what a whole session may use, from now on; replaces a budget it had.

        Set it before the first spawn of the session. What was used before counts. Raises
        `InvalidRequest` when the session is another tenant's.
        """
        budgets.set_budget(self._deps, session, tenant, budget)

    def budget(self, session_or_id: str, *, tenant: str = "default") -> Sequence[BudgetState]:
        """The budget of a session, or the nearest of a live instance, and those above it.

        Nearest first; nothing where there is none. What the gate has now, in one look.
        """
        found = self._deps.store.get(session_or_id) if is_id(session_or_id) else None
        if found is not None:
            return budgets.read(self._deps, found.tenant, found.session, found.id)
        return budgets.read(self._deps, tenant, session_or_id)

    def deadlocks(self, limit: int = 20) -> Sequence[Event]:
        """The newest deadlocks, newest first: events of those whose wait failed.

        `detail["cycle"]` of each names everybody in the circle.
        """
        if limit < 1:
            raise InvalidRequest("INVALID_LIMIT", f"The limit is {limit}; it must be at least 1.")
        return self._deps.store.notes("deadlock_detected", limit)

    def stalls(self) -> Sequence[Stall]:
        """Where every slot is now held by attempts that only wait, while others are in line."""
        return self._deps.gate.stalls()

    def cancel(self, instance_id: str, *, wait: float = 0.0) -> CancelReport:
        """Cancel an instance and everything below it; answers what became of each.

        The rows have ended when this returns; code that runs is told to stop. With `wait`, up to
        so many seconds are waited for it to have stopped, and the report tells how.
        """
        report = cancel.cancel(self._deps, parse_id(instance_id))
        return cancel.await_stops(self._deps, report, wait) if wait > 0 else report

    def pause(self, scope: str, *, now: bool = False, set_by: str = "") -> PauseReport:
        """Let nothing new start in a scope, or keep one instance from running, until resumed.

        `scope` is as `instance:ID`, `session:s1`, `agent:researcher`, `pool:gpu`, `tenant:acme` or
        `global`. What runs goes on; with `now`, and for an instance in any case, it goes back in
        line at its next call of its context, which is no failure. Raises `InvalidRequest`.
        """
        return pause.pause(self._deps, scope, now=now, set_by=set_by)

    def resume(self, scope: str, *, set_by: str = "") -> PauseReport:
        """Take a pause back; limits are what they were before."""
        return pause.resume(self._deps, scope, set_by=set_by)

    def dead(
        self,
        *,
        session: str | None = None,
        tenant: str | None = None,
        agent: str | None = None,
        limit: int = 100,
    ) -> Sequence[Instance]:
        """The newest instances that failed for good and that nobody runs again, newest first."""
        check_filter(session, tenant, agent, limit=limit)
        return self._deps.store.control.dead(session, tenant, agent, limit)

    def retry(self, instance_id: str) -> Handle:
        """Run an instance that failed or was cancelled again, from its last good step.

        A new instance with the same agent and arguments takes over what the old one has recorded:
        its steps and its children, but for what it failed with. It is a root of the session. While
        one is under way, the same one is answered. Raises `InvalidRequest` for one that lives or
        has completed, and `SpawnRefused`.
        """
        return self.handle(retry.retry(self._deps, parse_id(instance_id)))

    # --- limits, while everything runs ----------------------------------------------------

    def limits(self) -> Sequence[LimitState]:
        """Every limit and weight: by the settings, by an operator, in force, in use."""
        return survey.limit_states(self._deps)

    def set_limit(self, scope: str, value: float | str, *, set_by: str = "") -> LimitChange:
        """Set a limit or weight for all processes at once; they keep it over restarts.

        `scope` is as `tenant:acme` (see `docs/how-to/change-limits.md`). Raises `InvalidRequest`.
        """
        return limits.set_limit(self._deps, scope, value, set_by)

    def unset_limit(self, scope: str, *, set_by: str = "") -> LimitChange:
        """Take back what was set, so that the settings hold again."""
        return limits.unset_limit(self._deps, scope, set_by)

    def what_if(self, scope: str, value: float | str) -> LimitForecast:
        """What `set_limit` would do now to those who run and wait. Raises `InvalidRequest`."""
        return what_if.what_if(self._deps, scope, value)

    def explain(self, instance_id: str) -> Explanation:
        """Why an instance is not running: what holds it up, who holds that, when it may start.

        Raises `InstanceNotFound`.
        """
        return explain.explain(self._deps, parse_id(instance_id))

    def queue(self) -> QueueState:
        """What waits and runs now, by pool, line, tenant and session."""
        return survey.queue_state(self._deps)

    # --- what handles ask (see `Desk`) ----------------------------------------------------

    def result_for(self, instance_id: str, timeout: float | None) -> Any:
        """What it returned, waiting up to `timeout` seconds for it; see `Handle.result`."""
        [instance] = wait.wait_ended(self._deps, [instance_id], timeout)
        return result_of(instance)

    def status_of(self, instance_id: str) -> State:
        """The state now; a queued instance that has been handed out is `dispatched`."""
        state = self.get(instance_id).state
        if state is State.QUEUED and self._deps.gate.glance(instance_id).place == "dispatched":
            return State.DISPATCHED
        return state

    def progress_of(self, instance_id: str) -> Progress | None:
        """What an instance told last of how far it is."""
        told = self.get(instance_id).progress
        return None if told is None else Progress.from_dict(told)


def check_filter(*names: str | None, limit: int) -> None:
    """What instances are listed by."""
    if limit < 1:
        raise InvalidRequest("INVALID_LIMIT", f"The limit is {limit}; it must be at least 1.")
    for name in names:
        if name is not None and not name.isprintable():
            raise InvalidRequest(
                "INVALID_FILTER", f"{name!r} cannot name anything: it is not printable."
            )


def _id_or_unknown(text: str) -> str:
    try:
        return parse_id(text)
    except InvalidRequest:
        raise InstanceNotFound(text) from None
