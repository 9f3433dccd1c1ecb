"""What an agent's function is given first: who it is, and what it can ask for."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from orchestrator.agents.backend import Backend
from orchestrator.agents.call import Call
from orchestrator.agents.handle import Handle
from orchestrator.agents.history import Place, is_inside_step
from orchestrator.agents.lock import Lock
from orchestrator.agents.messaging import Messaging
from orchestrator.agents.operations import decoded
from orchestrator.agents.progress import TellsProgress
from orchestrator.agents.sharing import Sharing
from orchestrator.agents.steps import Steps
from orchestrator.domain.budget import Budget
from orchestrator.domain.call import Amounts
from orchestrator.domain.errors import (
    InvalidSpawn,
    NonDeterministicAgent,
    SpawnRefused,
    Unavailable,
)
from orchestrator.domain.ids import parse_id
from orchestrator.domain.instance import SpawnRequest
from orchestrator.domain.priority import Priority
from orchestrator.domain.waits import WaitKind
from orchestrator.engine.call import Wish
from orchestrator.engine.running import HeldLock
from orchestrator.telemetry.logging import get_logger


class Context(Steps, TellsProgress, Messaging, Sharing):
    """The running attempt, seen from its own code.

    Every method is a point where the function may be left, because the attempt was told to stop or
    because what it asks for is not there yet: by a private `BaseException` that an agent should let
    pass (`finally` blocks run). When it goes on, the function runs again from its top, and
    everything that it asked for before is answered as it was then, at once.
    """

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)
        instance = backend.instance
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
        return self._backend.instance.id

    @property
    def agent(self) -> str:
        """The name of this agent."""
        return self._backend.instance.agent

    @property
    def session(self) -> str:
        """The session whose tree this instance belongs to."""
        return self._backend.instance.session

    @property
    def tenant(self) -> str:
        """The tenant of the session."""
        return self._backend.instance.tenant

    @property
    def depth(self) -> int:
        """Levels below the root; 0 for a root."""
        return self._backend.instance.depth

    @property
    def attempt(self) -> int:
        """The number of this attempt; it grows with each dispatch, also after a wait."""
        return self._backend.instance.attempt

    @property
    def failures(self) -> int:
        """How many attempts have failed before this one; a wait or a crash is no failure."""
        return self._backend.instance.failures

    def check(self) -> None:
        """Leave here if this attempt has to stop; call it now and then in long work."""
        self._backend.check()

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
        after: Iterable[Handle | str] = (),
        on_failure: str = "fail",
        detached: bool = False,
        on_parent_end: str = "terminate",
        preemptible: bool | None = None,
        progress_timeout: float | None = None,
    ) -> Handle:
        """Spawn a child. Its priority is this instance's own unless said otherwise.

        When this agent runs again, the same spawn at the same place is the same child. Options
        are those of `Orchestrator.spawn`; `detached` ones live on whatever becomes of this
        instance, those with `on_parent_end="detach"` when it completes or fails. Raises
        `SpawnRefused`.
        """
        request = SpawnRequest(
            agent,
            {} if args is None else args,
            priority=self._backend.instance.priority if priority is None else priority,
            timeout=timeout,
            pool=pool,
            on_limit=on_limit,
            idempotency_key=idempotency_key,
            cost=cost,
            not_before=not_before,
            expires_after=expires_after,
            budget=budget,
            after=[one.id if isinstance(one, Handle) else one for one in after],
            on_failure=on_failure,
            detached=detached,
            on_parent_end=on_parent_end,
            preemptible=preemptible,
            progress_timeout=progress_timeout,
        )
        return self.spawn_many([request])[0]

    def spawn_many(self, requests: Sequence[SpawnRequest]) -> list[Handle]:
        """Spawn all of these children, or none and raise for the first that is refused.

        Several times faster than one by one. One may start `after` another of the list. Session
        and tenant are this instance's own.
        """
        with self._lock:
            places = [self._next("spawn", request.agent) for request in requests]
            try:
                known = {
                    index: self._spawned_before(place, request)
                    for index, (place, request) in enumerate(zip(places, requests, strict=True))
                    if place.recorded is not None
                }
            except NonDeterministicAgent:
                # In an agent of several tasks, what is recorded here may be another one's.
                self._give_back(places)
                raise
            new = [index for index in range(len(requests)) if index not in known]
            if new:
                ids = self._spawn([places[i] for i in new], [requests[i] for i in new])
                known |= dict(zip(new, ids, strict=True))
            return [Handle(known[index], self) for index in range(len(requests))]

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
        breaker always raises; an agent that lets it pass is put back in line. What is asked for by
        `call.run(...)` is recorded, and neither called nor paid for again.
        """
        amounts = Amounts(requests, input_tokens, output_tokens, usd)
        wish = Wish(resource, self.tenant, amounts, on_limit, timeout)
        if is_inside_step():
            self._backend.check()
            return Call(self._backend, wish)
        with self._lock:
            return Call(self._backend, wish, _CallRecord(self, self._next("call", resource)))

    def handle(self, instance_id: str) -> Handle:
        """A handle on any instance whose id is known, spawned here or not."""
        return Handle(parse_id(instance_id), self)

    def lock(self, name: str) -> Lock:
        """A lock of this tenant: `with ctx.lock("repo:main") as lock: ...`.

        This instance holds no slot while it waits for it. The lock is let go of at the end of the
        block, and in any case with the end of this instance's run; not by a wait inside the block.
        """
        return Lock(name, self)

    # --- what locks ask (see `LockDesk`) -----------------------------------------------------

    def take_lock(self, name: str) -> HeldLock:
        """Hold a lock, waiting for it without a slot."""
        with self._lock:
            place = self._next("lock", name)
            held = self._backend.take_lock(self._claim(place), name)
            if held is None:
                self._suspend(place, replace(self._wait_for(place, WaitKind.LOCK), name=name))
            return held

    def give_lock_back(self, held: HeldLock) -> None:
        """Let go of a lock."""
        with self._lock:
            self._backend.free_lock(held)

    # --- what calls ask ----------------------------------------------------------------------

    def keep_call(self, place: Place, value: Any) -> Any:
        """Record what a call brought; answers it as a later run will read it."""
        return self._keep(place, value, f"what the call of {place.name} brought")

    # --- how --------------------------------------------------------------------------------

    def _spawned_before(self, place: Place, request: SpawnRequest) -> str:
        recorded = place.recorded
        assert recorded is not None
        if recorded.error is not None:
            refusal = dict(recorded.error)
            kind = InvalidSpawn if refusal.pop("invalid") else SpawnRefused
            raise self._raised(place, kind.from_dict(refusal))
        before = recorded.value.get("args")
        args = decoded(self._encode(dict(request.args), "args"))
        if before is not None and before != args:
            raise self._history.differs(
                place.position,
                _spawn_label(request.agent, before),
                _spawn_label(request.agent, args),
            )
        return str(recorded.value["id"])

    def _spawn(self, places: Sequence[Place], requests: Sequence[SpawnRequest]) -> list[str]:
        """Spawn what is not recorded. A refusal is: the agent may go on because of it."""
        self._history.write()
        try:
            return self._backend.spawn(requests, [place.position for place in places])
        except SpawnRefused as refused:
            is_invalid = isinstance(refused, InvalidSpawn)
            self._history.write(places[0].failure(refused.to_dict() | {"invalid": is_invalid}))
            raise self._raised(places[0], refused) from None
        except Unavailable:
            self._give_back(places)
            raise

    def _give_back(self, places: Sequence[Place]) -> None:
        for place in reversed(places):
            self._history.give_back(place)


class _CallRecord:
    """What a call brought, in the journal; see `Record`."""

    def __init__(self, context: Context, place: Place) -> None:
        self._context, self._place = context, place

    @property
    def is_there(self) -> bool:
        return self._place.recorded is not None

    def read(self) -> Any:
        assert self._place.recorded is not None
        return self._place.recorded.value

    def keep(self, value: Any) -> Any:
        return self._context.keep_call(self._place, value)


def _spawn_label(agent: str, args: object) -> str:
    text = json.dumps(args)
    return f"spawn {agent}({text if len(text) <= 200 else text[:200] + '...'})"
