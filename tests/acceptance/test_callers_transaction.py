"""A spawn inside the service's own transaction exists if and only if that commits."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from orchestrator import InstanceNotFound, Orchestrator, SpawnRefused
from orchestrator.store.database import to_sqlalchemy
from tests.support.processes import Programs


@pytest.fixture
def service(database_url: str) -> Iterator[sa.Engine]:
    engine = sa.create_engine(to_sqlalchemy(database_url))
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE orders (id int)"))
    yield engine
    engine.dispose()


def test_it_starts_once_the_transaction_commits(
    orchestrator: Orchestrator, start: Programs, service: sa.Engine
) -> None:
    start.beat(ORCHESTRATOR_RECONCILE_EVERY="600")  # so that only the commit's notice can start it
    start.worker()
    with service.begin() as connection:
        connection.execute(sa.text("INSERT INTO orders VALUES (1)"))
        handle = orchestrator.spawn("add", {"a": 1}, connection=connection)
        with pytest.raises(InstanceNotFound):
            orchestrator.get(handle.id)
    assert handle.result(timeout=20) == 2


def test_it_never_was_if_the_transaction_rolls_back(
    orchestrator: Orchestrator, service: sa.Engine
) -> None:
    with service.connect() as connection:
        handle = orchestrator.spawn("add", {"a": 1}, connection=connection)
        connection.rollback()
    with pytest.raises(InstanceNotFound):
        orchestrator.get(handle.id)


def test_the_reconciler_starts_what_nobody_heard_of(
    orchestrator: Orchestrator, start: Programs, service: sa.Engine
) -> None:
    with service.begin() as connection:
        handle = orchestrator.spawn("add", {"a": 1}, connection=connection)
    start.worker()
    start.beat()
    assert handle.result(timeout=20) == 2


def test_a_used_key_is_refused(orchestrator: Orchestrator, service: sa.Engine) -> None:
    orchestrator.spawn("add", {"a": 1}, idempotency_key="order-1")
    with service.begin() as connection, pytest.raises(SpawnRefused, match="order-1"):
        orchestrator.spawn("add", {"a": 1}, idempotency_key="order-1", connection=connection)
