"""From what a caller wrote to a spawn that can be decided about. Touches nothing outside."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

from orchestrator.domain import payload
from orchestrator.domain.errors import InvalidSpawn
from orchestrator.domain.ids import new_id
from orchestrator.domain.instance import (
    HIGHEST_COST,
    LONGEST_TIMEOUT,
    AgentSpec,
    NewInstance,
    Parent,
    SpawnRequest,
)
from orchestrator.domain.names import check_identifier, check_label
from orchestrator.domain.priority import parse_priority
from orchestrator.engine.dependencies import resolve
from orchestrator.engine.deps import Deps

NOTHING: Mapping[int, str] = MappingProxyType({})


def prepare(
    deps: Deps,
    request: SpawnRequest,
    parent: Parent | None = None,
    batch: Mapping[int, str] = NOTHING,
) -> NewInstance:
    """Check everything about a request that needs no server; raises `InvalidSpawn`.

    `batch`: the ids of requests that it may name as what it starts after.
    """
    check_identifier("an agent", request.agent)
    spec = deps.catalogue.find(request.agent)
    _check_arguments(spec, request.args)
    pool = request.pool or spec.pool
    check_identifier("a pool", pool)
    check_label("a tenant", request.tenant)
    if request.session is not None:
        check_label("a session", request.session)
    if request.idempotency_key is not None:
        check_label("an idempotency key", request.idempotency_key)
    _check_on_limit(request.on_limit)
    tenant = parent.tenant if parent else request.tenant
    not_before = _not_before(request.not_before)
    instance_id = new_id(tenant)
    return NewInstance(
        id=instance_id,
        agent=spec.name,
        session=parent.session if parent else request.session or f"session-{instance_id}",
        tenant=tenant,
        pool=pool,
        priority=parse_priority(request.priority),
        depth=parent.depth + 1 if parent else 0,
        root_id=parent.root_id if parent else instance_id,
        args=_encode(request.args, deps.max_payload_bytes),
        timeout_seconds=_timeout(request.timeout, spec.timeout, deps.default_timeout),
        retry=spec.retry,
        parent=parent,
        idempotency_key=request.idempotency_key,
        not_before=not_before,
        expires_at=_expires_at(request.expires_after, not_before),
        cost=_cost(request.cost),
        budget=request.budget,
        depends_on=resolve(request, batch),
        detached=request.detached,
        on_parent_end=_on_parent_end(request.on_parent_end),
        preemptible=spec.preemptible if request.preemptible is None else request.preemptible,
        progress_timeout=_seconds("progress_timeout", request.progress_timeout)
        or spec.progress_timeout,
    )


def _on_parent_end(asked: str) -> str:
    if asked not in ("terminate", "detach"):
        raise InvalidSpawn(
            "INVALID_ON_PARENT_END",
            f'on_parent_end is {asked!r}; it must be "terminate" or "detach".',
        )
    return asked


def _check_arguments(spec: AgentSpec, args: object) -> None:
    if not isinstance(args, Mapping) or not all(isinstance(name, str) for name in args):
        raise InvalidSpawn(
            "INVALID_ARGUMENTS",
            f"The arguments of {spec.name} must be a mapping of names to JSON values, "
            f"as in {{'url': '...'}}; this is {type(args).__name__}.",
        )
    missing = [name for name in spec.required if name not in args]
    unknown = [] if spec.takes_any else [name for name in args if name not in spec.parameters]
    if missing or unknown:
        faults = [f"{name} is missing" for name in missing]
        faults += [f"{name} is not one of its arguments" for name in unknown]
        takes = ", ".join(spec.parameters) or "no arguments"
        raise InvalidSpawn("INVALID_ARGUMENTS", f"{spec.name} takes {takes}: {'; '.join(faults)}.")


def _encode(args: Mapping[str, Any], max_bytes: int) -> str:
    try:
        return payload.encode(dict(args), name="args", max_bytes=max_bytes)
    except payload.NotJSON as error:
        raise InvalidSpawn("NOT_JSON", f"{error}. Arguments must be JSON values.") from None
    except payload.TooLarge as error:
        raise InvalidSpawn("PAYLOAD_TOO_LARGE", str(error)) from None


def _not_before(asked: object) -> datetime | None:
    if asked is None or (isinstance(asked, datetime) and asked.tzinfo is not None):
        return asked
    seconds = _number(asked)
    if seconds is None or not 0 <= seconds <= LONGEST_TIMEOUT:
        raise InvalidSpawn(
            "INVALID_NOT_BEFORE",
            f"not_before is {asked!r}; it must be a time with a time zone, or seconds from now, "
            f"from 0 to {LONGEST_TIMEOUT:g}.",
        )
    return datetime.now(UTC) + timedelta(seconds=seconds)


def _expires_at(after: object, not_before: datetime | None) -> datetime | None:
    if after is None:
        return None
    seconds = _number(after)
    if seconds is None or not 0 < seconds <= LONGEST_TIMEOUT:
        raise InvalidSpawn(
            "INVALID_EXPIRES_AFTER",
            f"expires_after is {after!r}; it must be a number of seconds above 0 and up to "
            f"{LONGEST_TIMEOUT:g}.",
        )
    # The wait that may be too long begins when it may start.
    now = datetime.now(UTC)
    return max(now, not_before or now) + timedelta(seconds=seconds)


def _cost(asked: object) -> float | None:
    if asked is None:
        return None
    cost = _number(asked)
    if cost is None or not 0 < cost <= HIGHEST_COST:
        raise InvalidSpawn(
            "INVALID_COST",
            f"The cost is {asked!r}; it must be a number above 0 and up to {HIGHEST_COST:g}: "
            "seconds or tokens, as ORCHESTRATOR_FAIR_UNIT says.",
        )
    return cost


def _number(value: object) -> float | None:
    """As a float, huge ones a little smaller; None for what is not a number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(min(value, HIGHEST_COST * 10))


def _timeout(asked: object, of_agent: float | None, default: float) -> float:
    seconds = _seconds("timeout", asked)
    if seconds is None:
        return default if of_agent is None else of_agent
    return seconds


def _seconds(what: str, asked: object) -> float | None:
    if asked is None:
        return None
    seconds = _number(asked)
    if seconds is None or not 0 < seconds <= LONGEST_TIMEOUT:
        raise InvalidSpawn(
            "INVALID_TIMEOUT",
            f"The {what} is {asked!r}; it must be a number of seconds above 0 and up to "
            f"{LONGEST_TIMEOUT:g}.",
        )
    return seconds


def _check_on_limit(on_limit: str) -> None:
    if on_limit not in ("queue", "refuse"):
        raise InvalidSpawn(
            "INVALID_ON_LIMIT", f'on_limit is {on_limit!r}; it must be "queue" or "refuse".'
        )
