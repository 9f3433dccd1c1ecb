"""Whether those who wait can be found, each at the place that its share gives it."""

from __future__ import annotations

from collections import Counter
from typing import cast

from tests.gate.observe import Dump, key
from tests.support.gate_model import CLASS, GateModel, Item, Shares

Scores = dict[str, float]


def check_flows(gate: str, found: Dump, model: GateModel) -> None:
    """The flows, and how many there are of each line and each tenant in it."""
    waiting = [item for item in model.items.values() if item.rank is not None]
    flows = {(item.line, item.tenant, item.tree) for item in waiting}
    assert {item.pool for item in waiting} <= set(found.get(key(gate, "pools"), ()))
    assert {f"{line} {tree}" for line, _, tree in flows} == set(found.get(key(gate, "flows"), ()))
    lines = Counter(line for line, _, _ in flows)
    assert _counts(found, key(gate, "lines")) == lines
    for tenant in {tenant for _, tenant, _ in flows}:
        mine = Counter(line for line, whose, _ in flows if whose == tenant)
        assert _counts(found, key(gate, "tenant_lines", tenant)) == mine
    lists = [name for name in found if name.startswith(key(gate, "tenant_lines"))]
    assert len(lists) == len({tenant for _, tenant, _ in flows})


def check_ready_sets(gate: str, found: Dump, model: GateModel) -> None:
    """Who has room stands where its class and its tag put it, and nobody else does.

    Only a line that something holds up may still stand there.
    """
    wanted: dict[str, Scores] = {}
    for line, tenants in model.tenants.items():
        wanted[key(gate, "tenants", line)] = _scores(tenants)
    for (line, tenant), sessions in model.sessions.items():
        wanted[key(gate, "sessions", f"{line}:{tenant}")] = _scores(sessions)
    prefixes = (key(gate, "tenants"), key(gate, "sessions"))
    ready = {name: value for name, value in found.items() if name.startswith(prefixes)}
    assert ready == {name: scores for name, scores in wanted.items() if scores}
    _check_lines(gate, found, model)


def check_shares(gate: str, found: Dump, model: GateModel) -> None:
    """Every tag and virtual time. Tags of those who are away may be gone once they say nothing."""
    wanted = {key(gate, "shares_tenants", line): one for line, one in model.tenants.items()} | {
        key(gate, "shares_sessions", f"{line}:{tenant}"): one
        for (line, tenant), one in model.sessions.items()
    }
    prefixes = (key(gate, "shares_tenants"), key(gate, "shares_sessions"))
    assert {name for name in found if name.startswith(prefixes)} == {*wanted}
    for name, shares in wanted.items():
        scores, needed = cast(Scores, found[name]), _needed(shares)
        extra = {field: score for field, score in scores.items() if needed.get(field) != score}
        assert not extra, f"{name} has {extra}, not {needed}"
        missing = {field for field in needed.keys() - scores.keys() if not _is_idle(field, shares)}
        assert not missing, f"{name} has forgotten {missing}"
    lines = model.line_tags | ({"": model.line_time} if model.line_time else {})
    tags = dict(cast(Scores, found.get(key(gate, "shares"), {})))
    assert {"": 0.0} | tags == {"": 0.0} | lines


def _needed(shares: Shares) -> Scores:
    needed = {"period": float(shares.period)}
    needed |= {f"{class_}{name}": tag for (class_, name), tag in shares.tags.items()}
    needed |= {str(class_): time for class_, time in shares.virtual.items()}
    needed |= {f"served{class_}{name}": float(at) for (class_, name), at in shares.served.items()}
    return needed


def _is_idle(field: str, shares: Shares) -> bool:
    """Whether this can be forgotten: it is the tag of one who is away, and gives no debt."""
    field = field.removeprefix("served")
    class_, name = int(field[0]), field[1:]
    tag = shares.tags.get((class_, name), 0.0)
    return name not in shares.ready and tag <= shares.virtual.get(class_, 0.0)


def _check_lines(gate: str, found: Dump, model: GateModel) -> None:
    prefix = key(gate, "ready")
    ready = [value for name, value in found.items() if name.startswith(prefix)]
    there: Scores = {line: score for one in ready for line, score in cast(Scores, one).items()}
    expected = {
        line: tenants.ready[_first(tenants)] * CLASS + model.line_tags[line]
        for line, tenants in model.tenants.items()
        if tenants.ready
    }
    assert there.items() <= expected.items(), f"{there} is not {expected}"
    open_lines = {item.line for item in model.items.values() if _is_open(item, model)}
    missing = (expected.keys() & open_lines) - there.keys()
    assert not missing, f"nothing will wake {missing}"


def _is_open(item: Item, model: GateModel) -> bool:
    return item.rank is not None and model.used("agent", item) < model.limit("agent", item)


def _first(shares: Shares) -> str:
    return min(shares.ready, key=lambda name: (shares.score(name), name.encode()))


def _scores(shares: Shares) -> Scores:
    return {name: shares.score(name) for name in shares.ready}


def _counts(found: Dump, name: str) -> dict[str, int]:
    fields = cast(dict[str, str], found.get(name, {}))
    return {field: int(count) for field, count in fields.items()}
