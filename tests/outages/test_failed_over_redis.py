"""Sentinels make a replica the primary: the gate and the broker follow, and nothing is lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from orchestrator import bootstrap
from orchestrator.admission.connecting import Sentinels
from orchestrator.agents.registry import REGISTRY
from orchestrator.config.settings import Settings
from orchestrator.devstack import scratch_folder
from orchestrator.domain.errors import Unavailable
from orchestrator.domain.instance import SpawnRequest
from orchestrator.domain.lifecycle import State
from orchestrator.engine import rebuild, sweep
from orchestrator.engine.deps import Deps
from orchestrator.engine.spawn import spawn
from tests.engine.bench import Bench
from tests.support.processes import programs
from tests.support.sentinels import Watched, watched
from tests.support.waiting import wait_until


@pytest.fixture
def pair() -> Iterator[Watched]:
    with scratch_folder() as folder, watched(folder) as pair:
        yield pair


@pytest.fixture
def settings(
    pair: Watched, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    monkeypatch.chdir(tmp_path)
    return Settings.load(redis_url=pair.url, database_url=database_url, redis_timeout=1.0)


@pytest.fixture
def deps(settings: Settings) -> Iterator[Deps]:
    deps = bootstrap.build(settings, specs=REGISTRY.specs())
    rebuild.run_once(deps)
    yield deps
    bootstrap.close(deps)


def spawned(deps: Deps) -> str:
    try:
        return spawn(deps, SpawnRequest("add", {"a": 1}))
    except Unavailable:
        return ""


def state(deps: Deps, instance_id: str) -> State:
    row = deps.store.get(instance_id)
    assert row is not None
    return row.state


def test_the_gate_follows_and_is_told_what_the_replica_did_not_know(
    deps: Deps, pair: Watched
) -> None:
    bench = Bench(deps, REGISTRY)
    bench.offer()
    sweep.run_once(deps)
    assert bench.places(bench.spawn()) == ["dispatched"]
    # The replica falls behind, and is then the one that is left.
    pair.replica.pause()
    with redis.Redis.from_url(pair.primary.url) as primary:
        primary.execute_command("CLIENT KILL TYPE replica")
    one = bench.spawn()
    pair.primary.kill()
    pair.replica.resume()
    wait_until(lambda: spawned(deps), "a spawn is accepted again", 90.0)
    assert bench.places(one) == [""]
    sweep.run_once(deps)
    assert bench.places(one) != [""]


def test_workers_go_on_at_the_new_primary(
    deps: Deps, settings: Settings, pair: Watched, tmp_path: Path
) -> None:
    with programs(settings, tmp_path) as running:
        running.beat()
        running.worker()
        before = spawn(deps, SpawnRequest("add", {"a": 1}))
        wait_until(lambda: state(deps, before) is State.COMPLETED, "one is done", 60.0)
        pair.primary.kill()
        after = wait_until(lambda: spawned(deps), "a spawn is accepted again", 60.0)
        wait_until(lambda: state(deps, after) is State.COMPLETED, "it is done", 120.0)


def test_urls_of_sentinels() -> None:
    found = Sentinels.of("redis+sentinel://u:p%40ss@a:1,b:2/main/3")
    assert found == Sentinels((("a", 1), ("b", 2)), "main", 3, "u", "p@ss")
    assert Sentinels.of("redis://a:1/0") is None
    short = Sentinels.of("redis+sentinel://a/main")
    assert short == Sentinels((("a", 26_379),), "main", 0, None, None)
