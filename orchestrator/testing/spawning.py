"""Spawns of a harness: checked as always, and accepted always."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from orchestrator.domain.errors import InvalidSpawn
from orchestrator.domain.instance import Instance, NewInstance, Parent, SpawnRequest
from orchestrator.domain.lifecycle import State
from orchestrator.engine import dependencies
from orchestrator.engine.deps import Deps
from orchestrator.engine.prepare import prepare
from orchestrator.testing.row import Row
from orchestrator.testing.world import World


def spawn(
    world: World,
    rules: Deps,
    requests: Sequence[SpawnRequest],
    parent: Row | None = None,
    positions: Sequence[int | None] = (None,),
) -> list[str]:
    """Make instances, all or none; their ids. Raises `InvalidSpawn`."""
    news: list[NewInstance] = []
    batch: dict[int, str] = {}
    for request, position in zip(requests, positions, strict=True):
        news.append(_prepared(world, rules, request, _parent(parent, position), batch))
        batch[id(request)] = news[-1].id
    dependencies.check(rules, news)
    return [_recorded(world, new) for new in news]


def _parent(row: Row | None, position: int | None) -> Parent | None:
    if row is None or position is None:
        return None
    one = row.instance
    return Parent(one.id, one.attempt, one.session, one.tenant, one.root_id, one.depth, position)


def _prepared(
    world: World,
    rules: Deps,
    request: SpawnRequest,
    parent: Parent | None,
    batch: Mapping[int, str],
) -> NewInstance:
    """The spawn with an id, and with times of this world."""
    new = prepare(rules, request, parent, batch)
    instance_id = world.new_id(new.tenant)
    if parent is None:
        session = request.session or f"session-{instance_id}"
        new = replace(new, root_id=instance_id, session=session)
    if isinstance(request.not_before, int | float):
        new = replace(new, not_before=world.now + timedelta(seconds=request.not_before))
    return replace(new, id=instance_id)


def _recorded(world: World, new: NewInstance) -> str:
    """Put it in line, unless its idempotency key stands for an earlier one."""
    earlier = world.keys.get((new.tenant, new.idempotency_key or ""))
    if new.idempotency_key is not None and earlier is not None:
        return _same(new, world.row(earlier).instance)
    if new.idempotency_key is not None:
        world.keys[new.tenant, new.idempotency_key] = new.id
    position = new.parent.position if new.parent else None
    world.rows[new.id] = Row(_instance(world, new), world.next_turn(), position)
    return new.id


def _same(new: NewInstance, earlier: Instance) -> str:
    if (earlier.agent, earlier.args) == (new.agent, json.loads(new.args)):
        return earlier.id
    raise InvalidSpawn(
        "IDEMPOTENCY_CONFLICT",
        f"The idempotency key {new.idempotency_key!r} belongs to instance {earlier.id}, which "
        "has another agent or other arguments. Use a new key for a new request.",
    )


def _instance(world: World, new: NewInstance) -> Instance:
    return Instance(
        id=new.id,
        agent=new.agent,
        session=new.session,
        tenant=new.tenant,
        pool=new.pool,
        priority=new.priority,
        parent_id=new.parent.id if new.parent else None,
        root_id=new.root_id,
        depth=new.depth,
        state=State.QUEUED,
        reason=None,
        attempt=0,
        failures=0,
        timeout_seconds=new.timeout_seconds,
        retry=new.retry,
        args=json.loads(new.args),
        result=None,
        error=None,
        worker=None,
        not_before=new.not_before,
        created_at=world.now,
        started_at=None,
        ended_at=None,
        cost=new.cost,
        budget=new.budget,
        depends_on=new.depends_on,
        detached=new.detached,
        on_parent_end=new.on_parent_end,
        preemptible=new.preemptible,
        progress_timeout=new.progress_timeout,
    )
