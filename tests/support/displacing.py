"""Who has to give way to something more urgent: a part of the gate's model.

One for each urgent instance in line, and only where one slot is all that it lacks: of those that
run in all scopes that are full around it and are less urgent than it, one of the least urgent
class; of the tenant with most slots for its weight; the one that has done least.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.gate_model import GateModel, Item

#: How many urgent ones one call looks at.
MOST_URGENT = 16
SCOPES = ("session", "tenant", "agent", "pool", "workers", "global")


def next_victim(model: GateModel) -> tuple[Item, Item] | None:
    """The first urgent one that lacks a slot which somebody can give up, and who that is."""
    urgent = sorted(
        (item for item in model.items.values() if item.urgent), key=lambda item: item.urgent or 0
    )
    leaving = [item for item in model.items.values() if item.stopping is not None]
    before: list[Item] = []
    for item in urgent[:MOST_URGENT]:
        scopes = _wanting(model, item, leaving, before)
        if scopes is None:
            continue
        if scopes:
            victim = _least_important(model, item, scopes)
            if victim:
                return item, victim
        else:
            before.append(item)
    return None


def _wanting(
    model: GateModel, item: Item, leaving: Sequence[Item], before: Sequence[Item]
) -> list[str] | None:
    found = []
    for scope in SCOPES:
        around = item.scope(scope)
        limit = model.capacity(item.pool) if scope == "workers" else model.limit(scope, item)
        left = limit - model.used(scope, item)
        left += sum(one.scope(scope) == around for one in leaving)
        left -= sum(one.scope(scope) == around for one in before)
        if left < 0:
            return None
        if left == 0:
            found.append(scope)
    return found


def _least_important(model: GateModel, item: Item, scopes: Sequence[str]) -> Item | None:
    def rank(one: Item) -> tuple[object, ...]:
        excess = model.used("tenant", one) / model.weight("tenant", one.tenant)
        return one.priority, excess, one.held_since, one.id

    fitting = [
        one
        for one in model.items.values()
        if one.place == "dispatched"
        and one.preemptible
        and one.stopping is None
        and one.priority > item.priority
        and all(one.scope(scope) == item.scope(scope) for scope in scopes)
    ]
    return max(fitting, key=rank, default=None)
