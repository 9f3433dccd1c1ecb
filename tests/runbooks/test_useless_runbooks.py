"""Danger: at three in the morning a runbook's command does not do what its page says."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from orchestrator import Orchestrator
from orchestrator.config.settings import Settings
from orchestrator.devstack import EmbeddedServers, scratch_folder
from orchestrator.domain.errors import InstanceNotFound
from orchestrator.domain.lifecycle import State
from orchestrator.domain.resource import Resource
from orchestrator.engine.deps import Deps
from orchestrator.store import migrate
from tests.docs.pages import ROOT
from tests.runbooks.conftest import Page
from tests.runbooks.pages import steps
from tests.support.processes import Programs
from tests.support.waiting import wait_until

TRIED = {
    "stuck-queue": {"see", "look", "do", "over"},
    "breaker-open": {"see", "hold", "do", "over"},
    "orphan-spike": {"see", "look", "do", "over"},
    "leaked-slots": {"see", "do", "over"},
    "redis-lost": {"see", "do", "over"},
    "postgresql-failover": {"see", "do", "over"},
    "drain-a-worker": {"see", "do", "over"},
    "roll-back-a-release": {"see", "pause", "down", "do", "over"},
    "restore-from-backup": {"backup", "restore", "empty", "over"},
}


def test_every_command_of_every_page_is_tried() -> None:
    assert steps() == TRIED


def test_stuck_queue(page: Page, orchestrator: Orchestrator, start: Programs) -> None:
    orchestrator.pause("agent:echo")
    handle = orchestrator.spawn("echo")
    book = page("stuck-queue", ID=handle.id)
    book.run("see")
    book.run("look")
    start.beat()
    start.worker()
    book.run("do")
    handle.result(timeout=30)
    book.run("over")


def test_breaker_open(page: Page, orchestrator: Orchestrator) -> None:
    orchestrator.declare(Resource("llm"))
    for _ in range(5):
        with pytest.raises(ConnectionError), orchestrator.call("llm"):
            raise ConnectionError("the provider is away")
    book = page("breaker-open")
    for step in ("see", "hold", "do", "over"):
        book.run(step)


def test_orphan_spike(
    page: Page, orchestrator: Orchestrator, deps: Deps, start: Programs, tmp_path: Path
) -> None:
    ledger, go = tmp_path / "ledger", tmp_path / "go"
    start.worker("--concurrency", "4")
    args = {"ledger": str(ledger), "until": str(go), "fan": 1}
    parent = orchestrator.spawn("hold-tree", args)
    wait_until(lambda: ledger.exists() and "\n" in ledger.read_text().strip(), "both run")
    assert deps.store.housekeeping.jobs() == []
    deps.store.housekeeping.expect({"reap": 60.0}, "a beat")
    with deps.store.database.connection() as connection:
        connection.execute(
            "UPDATE instances SET state = 'cancelled', ended_at = now() WHERE id = %s", [parent.id]
        )
    book = page("orphan-spike", PARENT=parent.id)
    for step in ("see", "look", "do", "over"):
        book.run(step)
    wait_until(lambda: deps.gate.held() == 0, "what ran was stopped")


def test_leaked_slots(
    page: Page, orchestrator: Orchestrator, deps: Deps, start: Programs, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger"
    worker = start.worker()
    handle = orchestrator.spawn("hold", {"ledger": str(ledger), "until": str(tmp_path / "go")})
    wait_until(ledger.exists, "it runs")
    worker.kill()
    book = page("leaked-slots")
    wait_until(lambda: not deps.gate.workers(), "its leases have run out")
    book.run("see")
    book.run("do")
    book.run("over")
    assert handle.status() is State.QUEUED
    assert deps.gate.held() == 0


def test_drain_a_worker(
    page: Page, orchestrator: Orchestrator, deps: Deps, start: Programs, tmp_path: Path
) -> None:
    ledger, go = tmp_path / "ledger", tmp_path / "go"
    worker = start.worker()
    handle = orchestrator.spawn("hold", {"ledger": str(ledger), "until": str(go)})
    wait_until(ledger.exists, "it runs")
    book = page("drain-a-worker", ID=handle.id, PID=str(worker.pid))
    book.run("see")
    book.run("do")
    assert worker.process.wait(timeout=60) in (0, -signal.SIGTERM)
    book.run("over")
    go.touch()
    start.worker()
    assert handle.result(timeout=30) == 2


class TestOwnServers:
    """Servers of their own: they die, or all that `doctor` looks at has to be right."""

    @pytest.fixture
    def servers(self) -> Iterator[EmbeddedServers]:
        with scratch_folder() as folder, EmbeddedServers(folder, durable=True) as servers:
            migrate.upgrade(servers.database_url)
            yield servers

    @pytest.fixture
    def settings(
        self, servers: EmbeddedServers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> Settings:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("ORCHESTRATOR_REDIS_URL", servers.redis_url)
        monkeypatch.setenv("ORCHESTRATOR_DATABASE_URL", servers.database_url)
        return Settings.load()

    def test_redis_lost(
        self, servers: EmbeddedServers, page: Page, orchestrator: Orchestrator, start: Programs
    ) -> None:
        start.beat()
        start.worker()
        assert orchestrator.spawn("add", {"a": 1}).result(timeout=30) == 2
        waiting = orchestrator.spawn("echo", pool="gpu")
        book = page("redis-lost", ID=waiting.id)
        servers.redis.kill()
        book.run("see")
        servers.redis.start()
        with redis.Redis.from_url(servers.redis_url) as client:
            client.flushall()
        book.run("do")
        assert orchestrator.spawn("add", {"a": 2}).result(timeout=60) == 3
        book.run("over")

    def test_postgresql_failover(
        self, servers: EmbeddedServers, page: Page, orchestrator: Orchestrator, start: Programs
    ) -> None:
        start.beat()
        start.worker()
        handle = orchestrator.spawn("add", {"a": 1})
        book = page("postgresql-failover", ID=handle.id)
        servers.database.kill()
        book.run("see")
        servers.database.start()
        book.run("do")
        assert handle.result(timeout=60) == 2
        book.run("over")

    def test_roll_back_a_release(
        self, page: Page, orchestrator: Orchestrator, start: Programs, settings: Settings
    ) -> None:
        handle = orchestrator.spawn("add", {"a": 1})
        before = sorted((ROOT / "migrations" / "versions").glob("0*.py"))[-2].name[:4]
        book = page("roll-back-a-release", ID=handle.id, REVISION=before)
        for step in ("see", "pause", "down"):
            book.run(step)
        # There is no older release here: this one on its own schema again stands for it.
        assert settings.database_url is not None
        migrate.upgrade(settings.database_url)
        start.beat()
        start.worker()
        book.run("do")
        assert handle.result(timeout=30) == 2
        book.run("over")

    def test_restore_from_a_backup(
        self,
        page: Page,
        orchestrator: Orchestrator,
        start: Programs,
        settings: Settings,
        tmp_path: Path,
    ) -> None:
        # Given a backup, and work that it does not know of
        handle = orchestrator.spawn("echo", {"a": 1})
        book = page("restore-from-backup", ID=handle.id, BACKUP=str(tmp_path / "backup"))
        book.run("backup")
        late = orchestrator.spawn("echo", {"a": 2})
        # When it is restored beside the old database, and Redis is emptied
        book.run("restore")
        book.run("empty")
        assert settings.database_url is not None
        restored = settings.database_url.rpartition("/")[0] + "/restored"
        book["ORCHESTRATOR_DATABASE_URL"] = restored
        start.beat(ORCHESTRATOR_DATABASE_URL=restored)
        start.worker(ORCHESTRATOR_DATABASE_URL=restored)
        # Then what it knows goes on, and nothing else
        with Orchestrator.from_settings(Settings.load(database_url=restored)) as services:
            assert services.handle(handle.id).result(timeout=30) == {"a": 1}
            with pytest.raises(InstanceNotFound):
                services.get(late.id)
        book.run("over")
