"""R9: a refusal is typed, tells its numbers, and leaves nothing anywhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from orchestrator.admission.keys import key
from orchestrator.domain.errors import InvalidSpawn, SpawnRefused
from orchestrator.domain.instance import SpawnRequest
from orchestrator.domain.lifecycle import State
from orchestrator.engine.cancel import cancel
from orchestrator.engine.spawn import spawn_many, spawn_within
from orchestrator.store.database import to_sqlalchemy
from orchestrator.store.store import Ending
from tests.engine.bench import LEASE, Bench
from tests.support.make import parent_of

#: What a situation is asked to spawn.
Fields = dict[str, Any]
Situation = Callable[[Bench], Fields]

REFUSE: Fields = {"on_limit": "refuse"}


def full_session(bench: Bench) -> Fields:
    bench.limit(session_concurrency=2)
    for _ in range(2):
        bench.spawn(session="s")
    return REFUSE | {"session": "s"}


def full_tenant(bench: Bench) -> Fields:
    bench.limit(tenant_concurrency=1)
    bench.spawn(tenant="t")
    return REFUSE | {"tenant": "t"}


def full_pool(bench: Bench) -> Fields:
    bench.limit(pool_concurrency=1)
    bench.spawn(tenant="other")
    return REFUSE


def full_everything(bench: Bench) -> Fields:
    bench.limit(global_concurrency=1)
    bench.offer(5, pool="gpu", worker="gpu")
    bench.spawn(pool="gpu", tenant="other")
    return REFUSE


def busy_workers(bench: Bench) -> Fields:
    bench.offer(1)
    bench.spawn()
    return REFUSE


def no_worker(bench: Bench) -> Fields:
    return REFUSE | {"pool": "gpu"}


def others_wait(bench: Bench) -> Fields:
    bench.offer(1)
    bench.spawn()
    bench.spawn()
    return REFUSE


def full_tenant_queue(bench: Bench) -> Fields:
    bench.limit(tenant_queue=1, tenant_concurrency=1)
    bench.spawn(tenant="t")
    bench.spawn(tenant="t")
    return {"tenant": "t"}


def full_queue(bench: Bench) -> Fields:
    bench.limit(global_queue=1, global_concurrency=1)
    bench.spawn(tenant="one")
    bench.spawn(tenant="two")
    return {"tenant": "three"}


def too_deep(bench: Bench) -> Fields:
    bench.limit(max_depth=2)
    parent = bench.begun_parent()
    for _ in range(2):
        parent = parent_of(bench.begin(bench.spawn(parent=parent)))
    return {"parent": parent}


def cancelled_parent(bench: Bench) -> Fields:
    parent = bench.begun_parent()
    cancel(bench.deps, parent.id)
    return {"parent": parent}


def released_parent(bench: Bench) -> Fields:
    parent = bench.begun_parent()
    bench.deps.store.settle(parent.id, parent.attempt, Ending(State.COMPLETED, result="1"))
    bench.deps.gate.release(parent.id, parent.attempt)
    return {"parent": parent}


def parent_ended_in_postgresql_alone(bench: Bench) -> Fields:
    """The gate has not been told yet: PostgreSQL must refuse what the gate has admitted."""
    parent = bench.begun_parent()
    bench.deps.store.cancel([parent.id], "CANCELLED", "PARENT_ENDED")
    return {"parent": parent}


def older_attempt_of_the_parent(bench: Bench) -> Fields:
    parent = bench.begun_parent()
    bench.deps.store.hand_back(parent.id, parent.attempt, "WORKER_STOPPED")
    bench.deps.gate.requeue(bench.row(parent.id), parent.attempt)
    bench.begin(parent.id)
    return {"parent": parent}


def session_of_another_tenant(bench: Bench) -> Fields:
    bench.spawn(session="theirs", tenant="them")
    return {"session": "theirs", "tenant": "us"}


def session_of_another_tenant_while_full(bench: Bench) -> Fields:
    bench.offer(1)
    bench.spawn(session="theirs", tenant="them")
    return {"session": "theirs", "tenant": "us"}


def key_of_another_request(bench: Bench) -> Fields:
    bench.spawn(idempotency_key="k")
    return {"idempotency_key": "k", "args": {"a": 2}}


GATE: list[tuple[Situation, str, float | None, float | None]] = [
    # situation, code, limit, current
    (full_session, "CONCURRENT_LIMIT", 2, 2),
    (full_tenant, "CONCURRENT_LIMIT", 1, 1),
    (full_pool, "CONCURRENT_LIMIT", 1, 1),
    (full_everything, "CONCURRENT_LIMIT", 1, 1),
    (busy_workers, "CONCURRENT_LIMIT", 1, 1),
    (no_worker, "CONCURRENT_LIMIT", 0, 0),
    (others_wait, "CONCURRENT_LIMIT", 1, 1),
    (full_tenant_queue, "QUEUE_FULL", 1, 1),
    (full_queue, "QUEUE_FULL", 1, 1),
    (too_deep, "MAX_DEPTH_EXCEEDED", 2, 3),
    (cancelled_parent, "PARENT_ENDED", None, None),
    (released_parent, "PARENT_ENDED", None, None),
    (older_attempt_of_the_parent, "PARENT_ENDED", None, None),
]
STORE: list[tuple[Situation, str]] = [
    (parent_ended_in_postgresql_alone, "PARENT_ENDED"),
    (session_of_another_tenant, "SESSION_OF_ANOTHER_TENANT"),
    (session_of_another_tenant_while_full, "SESSION_OF_ANOTHER_TENANT"),
    (key_of_another_request, "IDEMPOTENCY_CONFLICT"),
]
REQUEST: list[tuple[Fields, str]] = [
    ({"agent": "ad"}, "UNKNOWN_AGENT"),
    ({"agent": "a b"}, "INVALID_NAME"),
    ({"args": {}}, "INVALID_ARGUMENTS"),
    ({"args": {"a": 1, "c": 2}}, "INVALID_ARGUMENTS"),
    ({"args": {"a": {1}}}, "NOT_JSON"),
    ({"args": {"a": "x" * 300_000}}, "PAYLOAD_TOO_LARGE"),
    ({"priority": "urgent"}, "INVALID_PRIORITY"),
    ({"timeout": -1}, "INVALID_TIMEOUT"),
    ({"on_limit": "wait"}, "INVALID_ON_LIMIT"),
    ({"session": ""}, "INVALID_NAME"),
]


def refusal_of(bench: Bench, fields: Fields) -> SpawnRefused:
    with pytest.raises(SpawnRefused) as caught:
        bench.spawn(**fields)
    return caught.value


@pytest.mark.parametrize(("situation", "code", "limit", "current"), GATE)
def test_the_gates_refusals(
    bench: Bench, situation: Situation, code: str, limit: float | None, current: float | None
) -> None:
    fields = situation(bench)
    before = bench.state()
    refusal = refusal_of(bench, fields)
    assert (refusal.code, refusal.limit, refusal.current) == (code, limit, current)
    waiting_helps = code in ("CONCURRENT_LIMIT", "QUEUE_FULL")
    assert refusal.retry_after == (LEASE if waiting_helps else None)
    assert bench.state() == before
    counted = bench.deps.gate.redis.hget(key(bench.deps.gate.name, "refusals"), code)
    assert counted == "1"


@pytest.mark.parametrize(("situation", "code"), STORE)
def test_postgresqls_refusals(bench: Bench, situation: Situation, code: str) -> None:
    """The gate had agreed already: what it held is given back."""
    fields = situation(bench)
    before = bench.state()
    assert refusal_of(bench, fields).code == code
    assert bench.state() == before


@pytest.mark.parametrize(("fields", "code"), REQUEST)
def test_refusals_of_the_request_itself(bench: Bench, fields: Fields, code: str) -> None:
    before = bench.state()
    refusal = refusal_of(bench, fields)
    assert isinstance(refusal, InvalidSpawn)
    assert refusal.code == code
    assert bench.state() == before


def as_request(fields: Fields) -> SpawnRequest:
    values: Fields = {"agent": "add", "args": {"a": 1}}
    return SpawnRequest(**values | fields)


@pytest.mark.parametrize("position", [0, 1, 2])
@pytest.mark.parametrize(
    "situation",
    [
        full_session,
        full_tenant_queue,
        session_of_another_tenant,
        key_of_another_request,
        no_worker,
    ],
)
def test_a_batch_with_one_refused_leaves_nothing_of_the_others(
    bench: Bench, situation: Situation, position: int
) -> None:
    refused = as_request(situation(bench))
    batch = [SpawnRequest("add", {"a": n}, session=f"fine-{n}") for n in range(2)]
    batch.insert(position, refused)
    before = bench.state()
    with pytest.raises(SpawnRefused):
        spawn_many(bench.deps, batch)
    assert bench.state() == before


def test_a_batch_that_goes_over_a_limit_by_itself_leaves_nothing(bench: Bench) -> None:
    bench.limit(tenant_queue=3, tenant_concurrency=2)
    before = bench.state()
    with pytest.raises(SpawnRefused) as caught:
        spawn_many(bench.deps, [SpawnRequest("add", {"a": n}) for n in range(6)])
    assert (caught.value.code, caught.value.limit) == ("QUEUE_FULL", 3)
    assert bench.state() == before
    assert len(spawn_many(bench.deps, [SpawnRequest("add", {"a": n}) for n in range(5)])) == 5


def test_an_empty_batch_is_no_spawn(bench: Bench) -> None:
    before = bench.state()
    assert spawn_many(bench.deps, []) == []
    assert bench.state() == before


def test_a_refusal_in_a_callers_transaction_leaves_it_usable(
    bench: Bench, database_url: str
) -> None:
    bench.spawn(idempotency_key="k")
    before = bench.state()
    engine = sa.create_engine(to_sqlalchemy(database_url), poolclass=sa.NullPool)
    with engine.begin() as connection:
        faults: list[Fields] = [{"args": {}}, {"idempotency_key": "k"}, {"timeout": 0}]
        for fault in faults:
            with pytest.raises(SpawnRefused):
                spawn_within(bench.deps, as_request(fault), connection)
        assert connection.execute(sa.text("SELECT 1")).scalar_one() == 1
    assert bench.state() == before


def test_the_room_of_a_refused_spawn_is_there_for_the_next(bench: Bench) -> None:
    bench.offer(1)
    bench.spawn(session="theirs", tenant="them")
    bench.execute(bench.row(bench.take_messages()[0][0]).id)
    for _ in range(3):
        refusal_of(bench, {"session": "theirs", "tenant": "us"})
    assert bench.glance(bench.spawn()).place == "dispatched"
