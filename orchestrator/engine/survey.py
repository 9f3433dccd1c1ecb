"""survey: who waits, who runs, and how much of each limit is in use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from orchestrator.admission.limits import Bounds, Crowd
from orchestrator.domain.limits import LimitState, RecordedLimit
from orchestrator.domain.queue import QueueRow, QueueState
from orchestrator.domain.scope import DEFAULTS, Scope
from orchestrator.engine.deps import Deps

#: Where the gate has an instance -> the column it counts in.
COLUMNS = {
    "admitted": "running",
    "dispatched": "running",
    "queued": "queued",
    "reserved": "queued",
    "delayed": "delayed",
    "held": "queued",
    "suspended": "waiting",
    "expired": "waiting",
    "paused": "paused",
}
#: What is in use of these is queued, not running.
QUEUES = ("session_queue", "tenant_queue", "global_queue")

Counts = dict[Scope, Counter[str]]


def queue_state(deps: Deps) -> QueueState:
    """Everything that waits or runs, by pool, line, tenant and session."""
    counts, bounds = _count(deps), deps.gate.bounds()
    offered = Counter[str]()
    for offer in deps.gate.workers().values():
        offered.update(offer)
    for pool in offered:
        counts.setdefault(Scope("pool", pool), Counter())
    pools = [replace(row, offered=offered[row.name]) for row in _rows("pool", counts, bounds)]
    total = _row(Scope("global"), counts.get(Scope("global"), Counter()), bounds)
    return QueueState(
        pools=pools,
        lines=_rows("line", counts, bounds),
        tenants=_rows("tenant", counts, bounds),
        sessions=_rows("session", counts, bounds),
        total=total,
    )


def limit_states(deps: Deps) -> list[LimitState]:
    """Every default, then every single one that an operator has set, with what is in use."""
    counts = _count(deps)
    in_force, settings = deps.gate.bounds(), deps.gate.bounds_of_settings()
    recorded = {one.scope: one for one in deps.store.limits.newest().rows if _is_set(one)}
    scopes = [Scope(kind) for kind in DEFAULTS if kind == "agent" or settings.own(Scope(kind))]
    scopes += sorted((scope for scope in recorded if scope.name), key=str)
    return [
        _limit_state(scope, counts, in_force, settings.own(scope), recorded.get(scope))
        for scope in scopes
    ]


def _limit_state(
    scope: Scope,
    counts: Counts,
    in_force: Bounds,
    setting: float | None,
    recorded: RecordedLimit | None,
) -> LimitState:
    used, busiest = _used(scope, counts)
    return LimitState(
        scope=str(scope),
        setting=setting,
        operator=recorded.value if recorded else None,
        in_force=in_force.of(scope),
        used=used,
        busiest=busiest,
        set_by=recorded.set_by if recorded else None,
        set_at=recorded.set_at if recorded else None,
        paused=bool(recorded and recorded.paused),
    )


def _is_set(one: RecordedLimit) -> bool:
    return one.paused or one.value is not None


def _used(scope: Scope, counts: Counts) -> tuple[int | None, str | None]:
    """How much is in use; of a default, by the one that uses most of it, and its name."""
    if scope.is_weight or scope.kind == "max_depth":
        return None, None
    column = "queued" if scope.kind in QUEUES else "running"
    kind = scope.kind.removesuffix("_queue")
    if scope.name or kind == "global":
        return counts.get(Scope(kind, scope.name, scope.tenant), Counter())[column], None
    most = max(
        ((count[column], _name(one)) for one, count in counts.items() if one.kind == kind),
        default=(0, ""),
    )
    return most[0], most[1] if most[0] else None


def _count(deps: Deps) -> Counts:
    counts: Counts = {}
    for crowd in deps.gate.survey():
        for scope in scopes_of(crowd):
            counts.setdefault(scope, Counter())[COLUMNS[crowd.place]] += crowd.count
    return counts


def scopes_of(crowd: Crowd) -> Iterator[Scope]:
    """What a crowd counts towards. A line is the agent in its pool."""
    yield Scope("global")
    yield Scope("pool", crowd.pool)
    yield Scope("agent", crowd.agent)
    yield Scope("line", crowd.agent, crowd.pool)
    yield Scope("tenant", crowd.tenant)
    yield Scope("session", crowd.session, crowd.tenant)


def _rows(kind: str, counts: Counts, bounds: Bounds) -> Sequence[QueueRow]:
    found = (_row(scope, count, bounds) for scope, count in counts.items() if scope.kind == kind)
    return sorted(found, key=lambda row: (-row.queued, -row.running, row.name))


def _row(scope: Scope, count: Counter[str], bounds: Bounds) -> QueueRow:
    bounded = Scope("agent", scope.name) if scope.kind == "line" else scope
    weighted = scope.kind in ("tenant", "session")
    return QueueRow(
        name=_name(scope),
        **count,
        limit=bounds.of(bounded),
        weight=bounds.weight_of(scope) if weighted else None,
    )


def _name(scope: Scope) -> str:
    return str(scope).partition(":")[2] or scope.kind
