"""Redis restarts or is emptied: the gate rebuilds itself, nothing accepted is lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator import Orchestrator
from orchestrator.config.settings import Settings
from orchestrator.devstack import EmbeddedServers, scratch_folder
from orchestrator.engine.deps import Deps
from orchestrator.store import migrate
from tests.support.processes import Programs, programs
from tests.support.waiting import wait_until


def test_emptied_while_work_runs_and_waits(
    orchestrator: Orchestrator, deps: Deps, start: Programs, ledger: Path, go: Path
) -> None:
    start.beat()
    start.worker("--concurrency", "2")
    args = {"ledger": str(ledger), "until": str(go)}
    handles = [orchestrator.spawn("hold", args) for _ in range(4)]
    wait_until(lambda: len(ledger.read_text().splitlines()) == 2, "two run, two wait")
    deps.gate.redis.flushall()
    late = orchestrator.spawn("add", {"a": 1})
    go.touch()
    for handle in handles:
        handle.result(timeout=30)
    assert late.result(timeout=30) == 2
    # Those that ran were adopted, not run again.
    assert len(ledger.read_text().splitlines()) == 4
    wait_until(lambda: deps.gate.held() == 0, "every slot is free again")


class TestRestart:
    """Servers of its own, because they die."""

    @pytest.fixture
    def servers(self) -> Iterator[EmbeddedServers]:
        with scratch_folder() as folder, EmbeddedServers(folder, durable=True) as servers:
            migrate.upgrade(servers.database_url)
            yield servers

    @pytest.fixture
    def located(
        self, servers: EmbeddedServers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> Settings:
        monkeypatch.chdir(tmp_path)
        return Settings.load(redis_url=servers.redis_url, database_url=servers.database_url)

    @pytest.fixture
    def start(self, located: Settings, tmp_path: Path) -> Iterator[Programs]:
        with programs(located, tmp_path) as running:
            yield running

    @pytest.fixture
    def orchestrator(self, located: Settings) -> Iterator[Orchestrator]:
        with Orchestrator.from_settings(located) as client:
            yield client

    def test_a_killed_redis_comes_back_again_and_again(
        self, servers: EmbeddedServers, orchestrator: Orchestrator, start: Programs
    ) -> None:
        """The worker must consume after each restart: once, a kombu release did not."""
        start.beat()
        worker = start.worker("--concurrency", "2")
        assert orchestrator.spawn("add", {"a": 0}).result(timeout=20) == 1
        for number in range(3):
            servers.redis.restart(kill=True)
            handle = orchestrator.spawn("add", {"a": number})
            assert handle.result(timeout=40) == number + 1
        assert worker.process.poll() is None

    def test_a_killed_redis_does_not_disturb_what_runs(
        self,
        servers: EmbeddedServers,
        orchestrator: Orchestrator,
        start: Programs,
        ledger: Path,
        go: Path,
    ) -> None:
        start.beat()
        start.worker()
        handle = orchestrator.spawn("hold", {"ledger": str(ledger), "until": str(go)})
        wait_until(ledger.read_text, "it has begun")
        servers.redis.restart(kill=True)
        go.touch()
        handle.result(timeout=30)
        assert len(ledger.read_text().splitlines()) == 1

    def test_a_killed_postgresql_loses_nothing_accepted(
        self, servers: EmbeddedServers, orchestrator: Orchestrator, start: Programs
    ) -> None:
        start.beat()
        start.worker("--concurrency", "2")
        handles = [orchestrator.spawn("add", {"a": number}) for number in range(40)]
        servers.database.restart(kill=True)
        assert [handle.result(timeout=40) for handle in handles] == list(range(1, 41))
