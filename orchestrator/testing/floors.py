"""What verbs that run in a harness find below them, in place of PostgreSQL and Redis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from orchestrator.admission.replies import WaitReply
from orchestrator.domain.instance import Instance
from orchestrator.domain.limits import Limits
from orchestrator.domain.waits import WaitNode
from orchestrator.engine.deps import Deps
from orchestrator.testing.agents import Agents, Known
from orchestrator.testing.circles import Need, circle
from orchestrator.testing.world import World


class VirtualStore:
    """What messages and shared values ask of the store."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.messages, self.shared = world.post, world.values

    def get(self, instance_id: str) -> Instance | None:
        """An instance by its id."""
        row = self._world.rows.get(instance_id)
        return None if row is None else row.instance

    def get_many(self, ids: Sequence[str]) -> dict[str, Instance]:
        """Those of the ids that there are."""
        return {one: found for one in ids if (found := self.get(one)) is not None}

    standings = get_many

    def note(self, instance_id: str, kind: str, detail: dict[str, Any]) -> None:
        """There is no audit trail."""


class VirtualGate:
    """What waits ask of the gate."""

    def __init__(self, world: World) -> None:
        self._world = world

    def wake(self, ids: Sequence[str]) -> None:
        """Nobody sleeps here: who can go on is looked for."""

    def answer(self, requester: Instance, _replier: str) -> None:
        """What lies in the box of the requester says it all."""

    def begin_wait(
        self,
        waiter: Instance,
        _attempt: int,
        _claim: str,
        targets: Sequence[str],
        needs: int = 1,
        **_: Any,
    ) -> WaitReply:
        """Whether this wait would never end."""
        need = Need(tuple(targets), needs)
        return WaitReply("waiting", cycle=find_circle(self._world, waiter.id, need))


def find_circle(world: World, waiter: str, need: Need) -> tuple[WaitNode, ...]:
    """Who waits for whom, if this wait would never end; else nothing."""
    return circle(waiter, need, world.need_of, lambda one: world.row(one).instance.agent)


def virtual_deps(world: World, agents: Agents, max_history: int, max_payload_bytes: int) -> Deps:
    """What requests are checked by, and where messages go. All else is not there."""
    nothing = cast(Any, None)
    return Deps(
        store=cast(Any, VirtualStore(world)),
        gate=cast(Any, VirtualGate(world)),
        notifier=nothing,
        calls=nothing,
        catalogue=Known(agents),
        limits=Limits(),
        max_payload_bytes=max_payload_bytes,
        max_history=max_history,
        default_timeout=3600.0,
        lease=15.0,
        dispatch=30.0,
    )
