"""rebuild: fill an empty gate from PostgreSQL, then open it.

Redis may be emptied at any moment. The first process that meets the empty gate fills it; until
then every script refuses to decide anything.
"""

from __future__ import annotations

import uuid

from orchestrator.domain.report import Report
from orchestrator.domain.resource import UNDECLARED, Resource
from orchestrator.engine import balance, budgets, limits, resources
from orchestrator.engine.adopt import adopt
from orchestrator.engine.deps import Deps
from orchestrator.store.store import BEFORE_ALL
from orchestrator.telemetry.logging import get_logger

log = get_logger("orchestrator.rebuild")

PAGE = 500
#: Seconds after which another process takes over from one that died while rebuilding.
HOLD = 10.0


def run_once(deps: Deps) -> Report:
    """Rebuild each shard of the gate unless it is ready or another process is at it."""
    return Report(
        "rebuild", adopted=sum(run_shard(deps, number) for number in range(deps.gate.size))
    )


def run_shard(deps: Deps, shard: int) -> int:
    """The same for one shard; answers how many instances it was told of."""
    token = str(uuid.uuid4())
    adopted = 0
    # Claimed anew means that Redis is empty: at the first turn, and again if it was emptied
    # while being filled.
    while deps.gate.begin_rebuild(token, HOLD, shard) == "yours":
        adopted = _fill(deps, shard, token)
        if deps.gate.finish_rebuild(token, shard):
            log.info("gate.rebuilt", shard=shard, instances=adopted)
            deps.gate.pump()
            break
    return adopted


def _fill(deps: Deps, shard: int, token: str) -> int:
    """Tell a shard of its live instances; stops where the claim to do so was lost."""
    balance.restore(deps, shard)
    configure(deps)
    limits.fill(deps, shard)
    # Before the instances: whoever is not counted by them yet counts itself when it is adopted.
    budgets.load_all(deps, shard, lambda: deps.gate.hold_rebuild(token, HOLD, shard))
    resources.fill(deps, shard, token)
    adopted = 0
    after = BEFORE_ALL
    while page := deps.store.live_page(after, PAGE):
        mine = [instance for instance in page if deps.gate.shard_of(instance.tenant) == shard]
        adopt(deps, mine)
        adopted += len(mine)
        after = page[-1].id
        if not deps.gate.hold_rebuild(token, HOLD, shard):
            break
    return adopted


def configure(deps: Deps) -> None:
    """Write this process's limits and times into the gate."""
    deps.gate.configure(
        deps.limits,
        lease=deps.lease,
        dispatch=deps.dispatch,
        outbox=deps.outbox,
        victim=deps.deadlock_victim,
        aging=deps.aging,
        fair_unit=deps.fair_unit,
        preempt_from=deps.preempt_from,
    )
    deps.gate.declare([Resource(UNDECLARED)])


def reconfigure(deps: Deps) -> None:
    """The same for an open gate: whoever has room by the new limits is woken.

    What operators have set stands: in PostgreSQL, and in the gate since then.
    """
    configure(deps)
    if not limits.follow(deps):
        deps.gate.refresh_flows()
