"""spawn: check in at the gate, record in PostgreSQL, follow up at the gate.

A spawn is accepted once it is recorded. A crash before that leaves a slot or queue place that
runs out by itself; a crash after it leaves a row that the reconciler puts in line.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from time import perf_counter

from orchestrator.domain.errors import (
    GateUnavailable,
    InvalidSpawn,
    NonDeterministicAgent,
    SpawnRefused,
)
from orchestrator.domain.instance import Instance, NewInstance, Parent, SpawnRequest
from orchestrator.domain.verdict import Decision, Refusal, Verdict
from orchestrator.engine import dependencies
from orchestrator.engine.budgets import fix_deadline
from orchestrator.engine.deps import Deps
from orchestrator.engine.fault_points import reached
from orchestrator.engine.prepare import prepare
from orchestrator.store import store
from orchestrator.telemetry import metrics
from orchestrator.telemetry.logging import get_logger

log = get_logger("orchestrator.spawn")


@contextmanager
def _measured() -> Iterator[None]:
    """Measure how long a spawn takes, by its answer."""
    began, answer = perf_counter(), "failed"
    try:
        yield
        answer = "accepted"
    except SpawnRefused:
        answer = "refused"
        raise
    finally:
        metrics.SPAWN_SECONDS.observe(perf_counter() - began, answer)


@_measured()
def spawn(deps: Deps, request: SpawnRequest, parent: Parent | None = None) -> str:
    """Accept one spawn and answer its id, or raise `SpawnRefused` and leave nothing behind."""
    [new] = _prepared(deps, [request], [parent])
    verdict = _check_in(deps, new, request.on_limit)
    if verdict.decision is Decision.REFUSED:
        return _earlier_or_refuse(deps, new, verdict)
    reached("spawn.checked_in")
    if not _record(deps, new, lambda: deps.store.record(new)):
        return _stands_for(new, deps.store.find_earlier(new))
    reached("spawn.recorded")
    _follow(deps, [new])
    reached("spawn.followed")
    return new.id


@_measured()
def spawn_many(
    deps: Deps, requests: Sequence[SpawnRequest], parents: Sequence[Parent] | None = None
) -> list[str]:
    """Accept several spawns, all of them or, raising for the first refused one, none."""
    if not requests:
        return []
    news = _prepared(deps, requests, parents or [None] * len(requests))
    held = [new.id for new in news if new.depends_on]
    verdicts = deps.gate.check_in_many(news, [request.on_limit for request in requests], held)
    for new, verdict in zip(news, verdicts, strict=True):
        _count(new, verdict)
    reached("spawn.checked_in")
    ids: dict[str, str] = {}
    try:
        for new, verdict in zip(news, verdicts, strict=True):
            if verdict.decision is Decision.REFUSED:
                ids[new.id] = _earlier_or_refuse(deps, new, verdict)
        rest = [new for new in news if new.id not in ids]
        ids |= deps.store.record_many(rest, _stands_for) if rest else {}
    except BaseException:
        _give_back(deps, news)
        raise
    reached("spawn.recorded")
    _give_back(deps, [new for new in news if ids[new.id] != new.id])
    _follow(deps, [new for new in news if ids[new.id] == new.id])
    reached("spawn.followed")
    return [ids[new.id] for new in news]


def spawn_within(
    deps: Deps, request: SpawnRequest, connection: store.CallersConnection
) -> NewInstance:
    """Record a spawn in the caller's transaction: it exists if and only if that commits.

    The gate hears of it after the commit (`follow_committed`), so limits make it wait in line
    but cannot refuse it any more.
    """
    [new] = _prepared(deps, [request], [None])
    if not deps.store.record_within(connection, new):
        raise SpawnRefused(
            "IDEMPOTENCY_KEY_TAKEN",
            f"The idempotency key {new.idempotency_key!r} was used before by tenant "
            f"{new.tenant!r}. Spawn without connection= to be given the earlier instance.",
        )
    return new


def accept(deps: Deps, new: NewInstance, record: Callable[[], bool]) -> bool:
    """Accept a checked spawn that is recorded in a way of its own; False if that was not done."""
    verdict = _check_in(deps, new, "queue")
    if verdict.decision is Decision.REFUSED:
        raise verdict.to_error()
    if not _record(deps, new, record):
        return False
    _follow(deps, [new])
    return True


def _check_in(deps: Deps, new: NewInstance, on_limit: str) -> Verdict:
    began = perf_counter()
    verdict = deps.gate.check_in(new, on_limit, held=new.depends_on is not None)
    metrics.ADMISSION_SECONDS.observe(perf_counter() - began)
    _count(new, verdict)
    return verdict


def _count(new: NewInstance, verdict: Verdict) -> None:
    metrics.VERDICTS.add(verdict.decision, verdict.refusal or "", new.tenant)


def _prepared(
    deps: Deps, requests: Sequence[SpawnRequest], parents: Sequence[Parent | None]
) -> list[NewInstance]:
    """All that can be checked before anything is asked for."""
    news: list[NewInstance] = []
    batch: dict[int, str] = {}
    for request, parent in zip(requests, parents, strict=True):
        new = fix_deadline(deps, prepare(deps, request, parent, batch))
        news.append(new)
        batch[id(request)] = _id_for(deps, new, len(requests))
    dependencies.check(deps, news)
    return news


def _id_for(deps: Deps, new: NewInstance, many: int) -> str:
    """The id that others of a list know a spawn by: of an earlier one, where its key has one."""
    earlier = deps.store.find_earlier(new) if many > 1 and new.idempotency_key else None
    return new.id if earlier is None else earlier.id


def _record(deps: Deps, new: NewInstance, record: Callable[[], bool]) -> bool:
    try:
        recorded = record()
    except BaseException:
        _give_back(deps, [new])
        raise
    if not recorded:
        deps.gate.withdraw([new.id])
    return recorded


def _give_back(deps: Deps, news: Sequence[NewInstance]) -> None:
    with suppress(GateUnavailable):  # What check-in held runs out by itself.
        deps.gate.withdraw([new.id for new in news])


def _follow(deps: Deps, news: Sequence[NewInstance]) -> None:
    with suppress(GateUnavailable):  # The spawns are accepted; the reconciler parks them.
        # Who is to wait is held before anybody can end.
        held = [new for new in news if new.depends_on]
        if held:
            dependencies.hold(deps, held)
        free = [new for new in news if not new.depends_on]
        if len(free) == 1:
            deps.gate.follow(free[0])
        elif free:
            deps.gate.follow_many(free)


def _earlier_or_refuse(deps: Deps, new: NewInstance, verdict: Verdict) -> str:
    """A repeated spawn is answered with the first one even where a limit is met by now."""
    may_be_repeated = new.idempotency_key is not None or new.parent is not None
    if may_be_repeated and verdict.refusal is not Refusal.PARENT_ENDED:
        earlier = deps.store.find_earlier(new)
        if earlier is not None:
            return _same(new, earlier).id
    log.info(
        "spawn.refused",
        code=verdict.refusal,
        scope=verdict.scope,
        agent=new.agent,
        tenant=new.tenant,
        session=new.session,
    )
    raise verdict.to_error()


def _stands_for(new: NewInstance, earlier: Instance | None) -> str:
    """The id of the instance that a spawn which was not recorded stands for."""
    if earlier is None:
        raise Verdict(Decision.REFUSED, Refusal.PARENT_ENDED).to_error()
    return _same(new, earlier).id


def _same(new: NewInstance, earlier: Instance) -> Instance:
    """The earlier instance, if it is what is asked for again."""
    args = json.loads(new.args)
    # One that began anew has other arguments by now than it was spawned with.
    if earlier.agent == new.agent and (earlier.history or earlier.args == args):
        return earlier
    if new.parent is not None and new.idempotency_key is None:
        expected, found = _call(earlier.agent, earlier.args), _call(new.agent, args)
        raise NonDeterministicAgent(new.parent.id, new.parent.position, expected, found)
    raise InvalidSpawn(
        "IDEMPOTENCY_CONFLICT",
        f"The idempotency key {new.idempotency_key!r} belongs to instance {earlier.id}, which "
        "has another agent or other arguments. Use a new key for a new request.",
    )


def _call(agent: str, args: object) -> str:
    text = json.dumps(args)
    return f"{agent}({text if len(text) <= 200 else text[:200] + '...'})"
