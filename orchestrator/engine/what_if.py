"""what_if: what a change of a limit would do now, without doing it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from orchestrator.admission.keys import limit_field
from orchestrator.admission.limits import Bounds, Crowd
from orchestrator.domain.errors import InvalidRequest
from orchestrator.domain.limits import LimitForecast
from orchestrator.domain.scope import Scope, check_value, parse_scope
from orchestrator.engine.deps import Deps
from orchestrator.engine.survey import COLUMNS, scopes_of

#: What bounds how many run at once.
RUNNING = ("session", "tenant", "agent", "pool", "global")


def what_if(deps: Deps, scope: str, value: float | str) -> LimitForecast:
    """What a limit on concurrency would do to those who run and wait now.

    Counted in whole: who runs and who waits may change while it is. Raises `InvalidRequest`.
    """
    parsed = parse_scope(scope)
    number = check_value(parsed, value)
    if parsed.kind not in RUNNING:
        raise InvalidRequest(
            "INVALID_SCOPE", f"What {parsed} would do cannot be said: it does not let anybody run."
        )
    crowds, bounds = list(deps.gate.survey()), deps.gate.bounds()
    wanted = replace(bounds, fields={**bounds.fields, limit_field(parsed): f"{number:.17g}"})
    offered = Counter[str]()
    for offer in deps.gate.workers().values():
        offered.update(offer)
    running = _count(crowds, "running")
    mine = [(one, count) for one, count in running.items() if _is_meant(parsed, one, wanted)]
    return LimitForecast(
        scope=str(parsed),
        in_force=bounds.of(parsed),
        value=number,
        used=max((count for _, count in mine), default=0),
        waiting=sum(
            crowd.count
            for crowd in crowds
            if COLUMNS[crowd.place] == "queued"
            and any(_is_meant(parsed, one, wanted) for one in scopes_of(crowd))
        ),
        would_start=max(
            0, _startable(crowds, wanted, offered) - _startable(crowds, bounds, offered)
        ),
        would_drain=sum(max(0, round(count - number)) for _, count in mine),
    )


def _is_meant(changed: Scope, one: Scope, bounds: Bounds) -> bool:
    """Whether a change is about this one; a default is about all without a value of their own."""
    if changed.name or changed.kind == "global":
        return one == changed
    return one.kind == changed.kind and bounds.own(one) is None


def _startable(crowds: Iterable[Crowd], bounds: Bounds, offered: Counter[str]) -> int:
    """How many of those who wait have room at once, in whatever order they come."""
    crowds = list(crowds)
    used = _count(crowds, "running")
    started = 0
    for crowd in crowds:
        if COLUMNS[crowd.place] != "queued":
            continue
        scopes = [one for one in scopes_of(crowd) if one.kind in RUNNING]
        rooms = [bound - used[one] for one in scopes if (bound := bounds.of(one)) is not None]
        workers = offered[crowd.pool] - used[Scope("pool", crowd.pool)]
        count = max(0, round(min(crowd.count, workers, *rooms)))
        started += count
        for one in scopes:
            used[one] += count
    return started


def _count(crowds: Iterable[Crowd], column: str) -> Counter[Scope]:
    found: Counter[Scope] = Counter()
    for crowd in crowds:
        if COLUMNS[crowd.place] == column:
            found.update(dict.fromkeys(scopes_of(crowd), crowd.count))
    return found
