"""What the gate says of an instance, held against the state of its model."""

from __future__ import annotations

from collections import Counter, defaultdict

from orchestrator.admission.explaining import FullScope, Line, Situation
from tests.support.gate_model import SCOPES, GateModel, Item


def check(model: GateModel, instance_id: str, found: Situation | None) -> None:
    """Everything that is said is so, and nothing that holds it up is left out."""
    item = model.items.get(instance_id)
    if item is None or found is None:
        assert item is None
        assert found is None
        return
    assert (found.place, found.attempt, found.now) == (item.place, item.attempt, model.now / 1000)
    if item.place != "queued":
        until = item.timer if item.is_asleep else item.until
        seconds = None if until is None else until / 1000
        assert (found.until, found.full, found.line) == (seconds, (), None)
        return
    assert found.until is None
    assert found.full == tuple(_full(model, item))
    assert found.stopped == ()
    assert found.line is not None
    _check_line(model, item, found.line)


def _full(model: GateModel, item: Item) -> list[FullScope]:
    found = []
    for scope in (*SCOPES, "workers"):
        used = model.used(scope, item)
        limit = model.capacity(item.pool) if scope == "workers" else model.limit(scope, item)
        if used >= limit:
            holders = model.holders(scope, item)
            found.append(FullScope(scope, float(limit), used, tuple(holders)))
    return found


def _check_line(model: GateModel, item: Item, line: Line) -> None:
    flows: defaultdict[tuple[str, str, str], list[Item]] = defaultdict(list)
    for one in model.items.values():
        if one.rank is not None and one.pool == item.pool:
            flows[one.line, one.tenant, one.session].append(one)
    mine = sorted(flows.pop((item.line, item.tenant, item.session)), key=lambda one: one.rank or 0)
    assert (line.before_in_flow, line.flow_length) == (mine.index(item), len(mine))
    assert (line.mine.more_urgent, line.mine.as_urgent) == _counts(item, mine)
    assert Counter(
        (flow.tenant, flow.session, flow.more_urgent, flow.as_urgent) for flow in line.others
    ) == Counter(
        (tenant, session, *_counts(item, members))
        for (_, tenant, session), members in flows.items()
    )
    assert line.backlog == sum(one.is_in_line for one in model.items.values())


def _counts(item: Item, flow: list[Item]) -> tuple[int, int]:
    """How many of a flow are more urgent than an instance, and how many just as urgent."""
    classes = [one.rank[0] // 2 for one in flow if one.rank is not None]
    assert item.rank is not None
    own = item.rank[0] // 2
    return sum(one < own for one in classes), classes.count(own)
