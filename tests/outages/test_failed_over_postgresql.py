"""A standby takes the place of PostgreSQL: the URL names both, nothing committed is lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from orchestrator import bootstrap
from orchestrator.agents.registry import REGISTRY
from orchestrator.config.settings import Settings
from orchestrator.devstack import EmbeddedServers, scratch_folder
from orchestrator.domain.errors import StoreUnavailable, Unavailable
from orchestrator.domain.lifecycle import State
from orchestrator.engine import rebuild
from orchestrator.engine.deps import Deps
from orchestrator.store import migrate
from orchestrator.store.database import Database
from tests.engine.bench import Bench
from tests.support.standby import Standby
from tests.support.waiting import wait_until


@pytest.fixture
def servers() -> Iterator[EmbeddedServers]:
    """Servers of the test's own: one of them dies for good."""
    with scratch_folder() as folder, EmbeddedServers(folder, durable=True) as servers:
        yield servers


@pytest.fixture
def standby(servers: EmbeddedServers) -> Iterator[Standby]:
    password = urlsplit(servers.database_url).password
    assert password is not None
    with scratch_folder() as folder:
        standby = Standby(folder / "standby", servers.database_url, password, folder / "log")
        standby.start()
        try:
            yield standby
        finally:
            standby.stop()


@pytest.fixture
def both(servers: EmbeddedServers, standby: Standby) -> str:
    """One URL that names two servers."""
    head, _, tail = servers.database_url.partition("@")
    address, _, name = tail.partition("/")
    return (
        f"{head}@{address},127.0.0.1:{standby.port}/{name}"
        "?target_session_attrs=read-write&connect_timeout=2"
    )


@pytest.fixture
def deps(
    servers: EmbeddedServers, both: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Deps]:
    migrate.upgrade(both)
    monkeypatch.chdir(tmp_path)
    settings = Settings.load(redis_url=servers.redis_url, database_url=both, database_timeout=2.0)
    deps = bootstrap.build(settings, specs=REGISTRY.specs())
    rebuild.run_once(deps)
    yield deps
    bootstrap.close(deps)


def has(url: str, instance_id: str) -> bool:
    with psycopg.connect(url) as sql:
        found = sql.execute("SELECT 1 FROM instances WHERE id = %s", [instance_id]).fetchone()
    return found is not None


def works(deps: Deps) -> bool:
    try:
        deps.store.clock()
    except Unavailable:
        return False
    return True


def test_what_was_replicated_goes_on_at_the_standby(
    deps: Deps, servers: EmbeddedServers, standby: Standby
) -> None:
    bench = Bench(deps, REGISTRY)
    bench.offer()
    one = bench.spawn()
    wait_until(lambda: has(standby.url, one), "it is replicated")
    servers.database.kill()
    with pytest.raises(StoreUnavailable):
        bench.spawn()
    standby.promote()
    wait_until(lambda: works(deps), "the standby serves", 60.0)
    assert bench.execute(one).state is State.COMPLETED
    assert bench.execute(bench.spawn()).state is State.COMPLETED


def test_a_standby_is_no_place_to_write(servers: EmbeddedServers, standby: Standby) -> None:
    database = Database(standby.url, timeout=2.0)
    try:
        with pytest.raises(StoreUnavailable) as caught:
            database.row("CREATE TABLE no (id int)")
    finally:
        database.close()
    assert caught.value.code == "STORE_READ_ONLY"
    assert "target_session_attrs" in str(caught.value)


def test_a_server_that_starts_says_so(deps: Deps, servers: EmbeddedServers) -> None:
    """Killed, it replays what it had not written; whoever logs in meanwhile is told to wait."""
    servers.database.kill()
    servers.database.launch()
    seen: set[str] = set()

    def is_back() -> bool:
        try:
            deps.store.clock()
        except Unavailable as error:
            seen.add(error.code)
            return False
        return True

    wait_until(is_back, "it is back", 60.0)
    assert seen <= {"STORE_STARTING", "STORE_UNAVAILABLE"}
