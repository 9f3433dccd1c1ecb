"""Danger: a worker that reaches no server goes on with what another one has taken over."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from orchestrator import Orchestrator
from orchestrator.config.settings import Settings
from tests.support.processes import Programs
from tests.support.proxy import Proxy
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(180)

#: Lines of the new attempt within which the old one has to have noticed: some two seconds.
OVERLAP = 100


@pytest.fixture
def network(settings: Settings) -> Iterator[tuple[Proxy, Proxy]]:
    """What is between one worker and its Redis, and its PostgreSQL."""
    with ExitStack() as stack:
        urls = (str(settings.redis_url), str(settings.database_url))
        first, second = (stack.enter_context(Proxy(url)) for url in urls)
        yield first, second


def through(network: tuple[Proxy, Proxy], settings: Settings) -> dict[str, str]:
    to_redis, to_postgres = network
    return {
        "ORCHESTRATOR_REDIS_URL": to_redis.through(str(settings.redis_url)),
        "ORCHESTRATOR_DATABASE_URL": to_postgres.through(str(settings.database_url)),
    }


def of_attempt(ledger: Path, attempt: int) -> int:
    return sum(line.split()[0] == str(attempt) for line in ledger.read_text().splitlines())


@pytest.mark.parametrize("fault", ["freeze", "reset"])
def test_it_stops_what_another_takes_over_and_works_again_later(
    settings: Settings,
    orchestrator: Orchestrator,
    start: Programs,
    network: tuple[Proxy, Proxy],
    ledger: Path,
    go: Path,
    fault: str,
) -> None:
    start.beat()
    start.worker(**through(network, settings))
    # Given an agent that asks nobody anything
    handle = orchestrator.spawn("tick", {"ledger": str(ledger), "until": str(go)})
    wait_until(lambda: of_attempt(ledger, 1), "it runs")
    # When its worker reaches nobody any more
    for link in network:
        getattr(link, fault)()
    other = start.worker()
    wait_until(lambda: of_attempt(ledger, 2) > OVERLAP, "another worker has it", 60)
    # Then the first one has stopped it
    before = of_attempt(ledger, 1)
    wait_until(lambda: of_attempt(ledger, 2) > 2 * OVERLAP, "the other one goes on")
    assert of_attempt(ledger, 1) == before
    go.touch()
    assert handle.result(timeout=30) == 2
    # And takes up new work when it reaches them again
    for link in network:
        link.heal()
    other.stop()
    assert orchestrator.spawn("add", {"a": 1}).result(timeout=60) == 2


def test_it_goes_on_while_postgresql_says_that_it_may(
    settings: Settings,
    orchestrator: Orchestrator,
    start: Programs,
    ledger: Path,
    go: Path,
) -> None:
    """Redis is away for everybody: nobody can take anything over, and nothing is stopped."""
    with Proxy(str(settings.redis_url)) as link:
        url = link.through(str(settings.redis_url))
        start.beat(ORCHESTRATOR_REDIS_URL=url)
        start.worker(ORCHESTRATOR_REDIS_URL=url)
        handle = orchestrator.spawn("tick", {"ledger": str(ledger), "until": str(go)})
        wait_until(lambda: of_attempt(ledger, 1), "it runs")
        link.reset()
        # Longer than its lease of two seconds.
        lines = of_attempt(ledger, 1)
        wait_until(lambda: of_attempt(ledger, 1) > lines + 2 * OVERLAP, "it goes on", 60)
        link.heal()
        go.touch()
        assert handle.result(timeout=60) == 1
