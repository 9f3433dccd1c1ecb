"""The broker's link dies without a word, or everybody loses Redis at once: workers go on by
themselves, and not all at the same moment."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.config.settings import Settings
from orchestrator.domain.errors import Unavailable
from orchestrator.domain.instance import SpawnRequest
from orchestrator.domain.lifecycle import State
from orchestrator.engine.deps import Deps
from orchestrator.engine.spawn import spawn
from tests.support.processes import Programs, programs
from tests.support.proxy import Proxy
from tests.support.waiting import wait_until


@pytest.fixture
def running(settings: Settings, tmp_path: Path) -> Iterator[Programs]:
    with programs(settings, tmp_path) as running:
        running.beat()
        running.worker()
        yield running


def done(deps: Deps) -> bool:
    """Whether something that is spawned now is accepted, and runs."""
    try:
        one = spawn(deps, SpawnRequest("add", {"a": 1}))
    except Unavailable:
        return False

    def has_ended() -> bool:
        row = deps.store.get(one)
        return row is not None and row.state is State.COMPLETED

    wait_until(has_ended, "it is done", 120.0)
    return True


def test_a_worker_whose_link_has_died_reads_again(
    deps: Deps, running: Programs, redis_proxy: Proxy
) -> None:
    assert done(deps)
    redis_proxy.freeze()
    redis_proxy.heal()  # what was frozen stays dead: only a new connection helps
    wait_until(lambda: done(deps), "spawns run again", 120.0)


def test_those_who_come_back_do_not_storm(
    deps: Deps, running: Programs, redis_proxy: Proxy, database_proxy: Proxy
) -> None:
    """Counted where they arrive: connections of a worker, a beat and a service after a cut-off."""
    assert done(deps)
    before = {proxy: proxy.open for proxy in (redis_proxy, database_proxy)}
    for proxy in before:
        proxy.reset()
    tried = {proxy: proxy.accepted for proxy in before}
    wait_until(
        lambda: all(proxy.accepted >= tried[proxy] + 5 for proxy in before), "they try", 60.0
    )
    for proxy in before:
        proxy.heal()
    healed = {proxy: proxy.accepted for proxy in before}
    wait_until(lambda: done(deps), "spawns run again", 120.0)
    for proxy, open_before in before.items():
        # Each connection there was is made again, some twice while it was found dead.
        assert proxy.accepted - healed[proxy] <= 3 * open_before + 10
