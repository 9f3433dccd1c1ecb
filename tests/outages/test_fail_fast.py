"""Whatever a network or a server does, a call ends in time with one typed, retryable error."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from orchestrator.devstack import EmbeddedServers
from orchestrator.domain.errors import (
    GateUnavailable,
    OrchestratorError,
    StoreUnavailable,
    Unavailable,
)
from orchestrator.domain.instance import SpawnRequest
from orchestrator.engine.deps import Deps
from orchestrator.engine.spawn import spawn
from orchestrator.store.database import Database
from tests.support.proxy import Proxy
from tests.support.stopping import stopped
from tests.support.waiting import wait_until

#: Seconds. The settings here bound a call by some five; machines are shared.
PROMISED = 30.0

FAULTS: dict[str, Callable[[Proxy], None]] = {
    "refused": Proxy.refuse,
    "reset": Proxy.reset,
    "black hole": Proxy.black_hole,
    "answers lost": lambda proxy: proxy.black_hole("to_client"),
    "partition": Proxy.pause,
    "vanished": Proxy.freeze,
}
each_fault = pytest.mark.parametrize("fault", FAULTS)
before = pytest.mark.parametrize("used_before", [True, False], ids=["used", "fresh"])


def error_of(ask: Callable[[], object]) -> OrchestratorError:
    """What a call ends with, which it must in time."""
    caught: list[BaseException] = []

    def run() -> None:
        try:
            ask()
        except BaseException as error:
            caught.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(PROMISED)
    assert not thread.is_alive(), f"no answer within {PROMISED:g} s"
    assert caught, "the call has succeeded"
    assert isinstance(caught[0], OrchestratorError), repr(caught[0])
    assert caught[0].retryable
    return caught[0]


def works(ask: Callable[[], object]) -> bool:
    try:
        ask()
    except Unavailable:
        return False
    return True


@each_fault
@before
def test_redis_behind_a_broken_network(
    deps: Deps, redis_proxy: Proxy, fault: str, used_before: bool
) -> None:
    if not used_before:
        redis_proxy.cut()
    FAULTS[fault](redis_proxy)
    assert isinstance(error_of(deps.gate.now), GateUnavailable)
    error = error_of(lambda: spawn(deps, SpawnRequest("add", {"a": 1})))
    assert error.code == "GATE_UNAVAILABLE"
    redis_proxy.heal()
    wait_until(lambda: works(deps.gate.now), "Redis is there again")


@each_fault
@before
def test_postgresql_behind_a_broken_network(
    deps: Deps, database_proxy: Proxy, fault: str, used_before: bool
) -> None:
    if not used_before:
        database_proxy.cut()
    FAULTS[fault](database_proxy)
    assert isinstance(error_of(deps.store.clock), StoreUnavailable)
    error = error_of(lambda: spawn(deps, SpawnRequest("add", {"a": 1})))
    assert error.code == "STORE_UNAVAILABLE"
    database_proxy.heal()
    wait_until(lambda: works(deps.store.clock), "PostgreSQL is there again")


def test_a_stopped_redis(deps: Deps, servers: EmbeddedServers) -> None:
    with stopped(servers.redis.pid):
        assert error_of(deps.gate.now).code == "GATE_UNAVAILABLE"
    wait_until(lambda: works(deps.gate.now), "Redis goes on")


def test_a_stopped_postgresql(deps: Deps, servers: EmbeddedServers) -> None:
    """Its kernel goes on to acknowledge what is sent, so only our own clock can tell."""
    with stopped(servers.database.pid):
        assert error_of(deps.store.clock).code == "STORE_UNAVAILABLE"
    wait_until(lambda: works(deps.store.clock), "PostgreSQL goes on")


def test_a_transaction_cut_off_in_its_middle(deps: Deps, database_proxy: Proxy) -> None:
    """The rollback that follows must not wait once more."""

    def halfway() -> None:
        with deps.store.database.transaction() as connection:
            connection.execute("SELECT 1")
            database_proxy.black_hole()
            connection.execute("SELECT 1")

    assert error_of(halfway).code == "STORE_UNAVAILABLE"
    database_proxy.heal()
    wait_until(lambda: works(deps.store.clock), "PostgreSQL is there again")


def test_one_dead_connection_tells_of_all(deps: Deps, redis_proxy: Proxy) -> None:
    """Idle connections that died in a cut-off do not cost one caller each a silence."""
    together = threading.Barrier(6, timeout=20)

    def use() -> None:
        together.wait()
        deps.gate.now()

    threads = [threading.Thread(target=use) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    redis_proxy.freeze()
    error_of(lambda: deps.gate.glance("0" * 8))
    redis_proxy.heal()
    deps.gate.glance("0" * 8)


def test_a_process_that_uses_all_its_connections_is_busy(deps: Deps) -> None:
    with pytest.raises(StoreUnavailable) as caught:
        take_all(deps)
    assert caught.value.code == "STORE_BUSY"


def take_all(deps: Deps, taken: int = 0) -> None:
    with deps.store.database.connection():
        assert taken < 100
        take_all(deps, taken + 1)


def test_postgresql_out_of_connections_says_what_to_raise(
    deps: Deps, servers: EmbeddedServers
) -> None:
    with deps.store.database.connection() as connection:
        connection.execute("CREATE ROLE few LOGIN PASSWORD 'few' CONNECTION LIMIT 0")
    try:
        url = servers.database_url.replace(
            servers.database_url.partition("//")[2].partition("@")[0], "few:few"
        )
        database = Database(url, timeout=0.5)
        error = error_of(lambda: database.row("SELECT 1"))
        database.close()
    finally:
        with deps.store.database.connection() as connection:
            connection.execute("DROP ROLE few")
    assert error.code == "STORE_OUT_OF_CONNECTIONS"
    assert "max_connections" in str(error)


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ("53100", "STORE_FULL"),
        ("53300", "STORE_OUT_OF_CONNECTIONS"),
        ("57P03", "STORE_STARTING"),
        ("57P01", "STORE_UNAVAILABLE"),
        ("58030", "STORE_UNAVAILABLE"),
    ],
)
def test_what_the_server_says_has_a_code(deps: Deps, state: str, code: str) -> None:
    """As it says it when its disk is full, and in other trouble that a test cannot make."""
    statement = f"DO $$ BEGIN RAISE EXCEPTION 'as asked' USING ERRCODE = '{state}'; END $$"
    with pytest.raises(StoreUnavailable) as caught, deps.store.database.connection() as connection:
        connection.execute(statement.encode())
    assert caught.value.code == code
    assert caught.value.retryable
