"""A function has returned and PostgreSQL is away: its result arrives, and it does not run again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.config.settings import Settings
from orchestrator.domain.errors import Unavailable
from orchestrator.domain.instance import SpawnRequest
from orchestrator.domain.lifecycle import State
from orchestrator.engine.deps import Deps
from orchestrator.engine.spawn import spawn
from tests.support.processes import Program, Programs, programs
from tests.support.proxy import Proxy
from tests.support.waiting import wait_until

#: So that a test of a silence does not take long.
SHORT = {"ORCHESTRATOR_DATABASE_TIMEOUT": "1", "ORCHESTRATOR_STATEMENT_TIMEOUT": "1"}


class Scene:
    """A worker at work on one instance, and the network between it and PostgreSQL."""

    def __init__(self, deps: Deps, running: Programs, network: Proxy, folder: Path) -> None:
        self.deps, self.running, self.network = deps, running, network
        self.ledger, self.until, self.shelf = (
            folder / "ledger",
            folder / "until",
            folder / ".orchestrator" / "endings",
        )
        self.worker = running.worker(**SHORT)
        args = {"ledger": str(self.ledger), "until": str(self.until)}
        self.id = spawn(deps, SpawnRequest("hold", args))
        wait_until(self.ledger.exists, "it runs")

    def return_while_away(self, away: Callable[[Proxy], None] = Proxy.refuse) -> None:
        """The function returns; nobody can be told."""
        away(self.network)
        self.until.touch()
        wait_until(self.is_shelved, "the result is shelved", 60.0)

    def is_shelved(self) -> bool:
        """A line is whole; the file alone is there before it."""
        return any(one.read_bytes().endswith(b"\n") for one in self.shelf.glob("*.jsonl"))

    def attempts(self) -> int:
        return len(self.ledger.read_text().splitlines())

    def has_ended(self) -> bool:
        try:
            row = self.deps.store.get(self.id)
        except Unavailable:
            # The test is a client like any other: its connections were cut off, too.
            return False
        return row is not None and row.state is State.COMPLETED


@pytest.fixture
def running(settings: Settings, tmp_path: Path) -> Iterator[Programs]:
    with programs(settings, tmp_path) as running:
        yield running


@pytest.fixture
def scene(deps: Deps, running: Programs, database_proxy: Proxy, tmp_path: Path) -> Scene:
    """One instance runs."""
    return Scene(deps, running, database_proxy, tmp_path)


def heal_and_wait(scene: Scene) -> None:
    scene.network.heal()
    wait_until(scene.has_ended, "the result has arrived", 60.0)
    assert scene.attempts() == 1


def tries(worker: Program) -> int:
    return worker.log.read_text().count("server.unavailable")


@pytest.mark.parametrize("away", [Proxy.refuse, Proxy.pause], ids=["refused", "partition"])
def test_a_worker_goes_on_trying_as_long_as_it_lives(
    scene: Scene, away: Callable[[Proxy], None]
) -> None:
    scene.return_while_away(away)
    before = tries(scene.worker)
    wait_until(lambda: tries(scene.worker) >= before + 2, "it tries again and again", 60.0)
    heal_and_wait(scene)
    wait_until(
        lambda: all(one.stat().st_size == 0 for one in scene.shelf.glob("*")), "nothing is shelved"
    )


def test_a_worker_that_is_told_to_stop_leaves_it_to_the_next(scene: Scene) -> None:
    scene.return_while_away()
    assert scene.worker.stop(seconds=60.0) == 0
    scene.network.heal()
    assert not scene.has_ended()
    scene.running.worker()
    heal_and_wait(scene)
    wait_until(lambda: not list(scene.shelf.glob("*")), "the shelf is empty")


def test_also_a_worker_that_is_killed(scene: Scene) -> None:
    scene.return_while_away()
    scene.worker.kill()
    scene.network.heal()
    assert not scene.has_ended()
    scene.running.worker()
    heal_and_wait(scene)


def test_a_neighbour_settles_what_a_killed_one_left(scene: Scene) -> None:
    scene.network.heal()
    neighbour = scene.running.worker()
    scene.return_while_away()
    scene.worker.kill()
    heal_and_wait(scene)
    assert neighbour.process.poll() is None
