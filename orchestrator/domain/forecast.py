"""How many start before one that waits.

Who is served next follows from shares: tenants first, then their sessions, then order of arrival
(start-time fair queueing, Goyal, Vin and Cheng 1996). So before the k-th of a tenant, each other
tenant of twice its weight is served up to 2k times. What changes the order meanwhile (newcomers,
aging, limits, what starts really cost) is not foreseen: this is an estimate.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Flow:
    """The instances of one session that wait in one line."""

    tenant: str
    session: str
    #: how many are more urgent than the one that is asked about, and how many just as urgent
    more_urgent: int
    as_urgent: int
    weight: float = 1.0
    tenant_weight: float = 1.0
    #: whether its session, or its tenant, is to be served before that of the one in question
    is_before: bool = False
    tenant_is_before: bool = False


def ahead_of(mine: Flow, before_in_flow: int, others: Sequence[Flow]) -> int:
    """About how many start before the one behind `before_in_flow` others of its flow.

    `before_in_flow` counts the more urgent ones of the own flow too.
    """
    same_class = max(0, before_in_flow - mine.more_urgent)
    own = [flow for flow in others if flow.tenant == mine.tenant]
    in_tenant = same_class + sum(
        _share(flow.as_urgent, same_class, flow.weight / mine.weight, flow.is_before)
        for flow in own
    )
    urgent = before_in_flow - same_class + sum(flow.more_urgent for flow in others)
    return urgent + in_tenant + _of_other_tenants(mine, in_tenant, others)


def _of_other_tenants(mine: Flow, in_tenant: int, others: Iterable[Flow]) -> int:
    waiting: defaultdict[str, int] = defaultdict(int)
    tenants: dict[str, Flow] = {}
    for flow in others:
        if flow.tenant != mine.tenant:
            waiting[flow.tenant] += flow.as_urgent
            tenants[flow.tenant] = flow
    return sum(
        _share(
            waiting[tenant],
            in_tenant,
            flow.tenant_weight / mine.tenant_weight,
            flow.tenant_is_before,
        )
        for tenant, flow in tenants.items()
    )


def _share(waiting: int, turns: int, ratio: float, is_before: bool) -> int:
    """How many of `waiting` are served before the next turn after `turns` of one's own."""
    return min(waiting, math.ceil(turns * ratio) + is_before)
