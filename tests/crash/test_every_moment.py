"""Danger: a worker dies at the worst moment, and something is lost, done twice or held for ever."""

from __future__ import annotations

import ast
import signal
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator import Orchestrator, bootstrap
from orchestrator.config.settings import Settings
from orchestrator.devstack import EmbeddedServers
from orchestrator.domain.lifecycle import State, allowed
from orchestrator.engine import reap
from orchestrator.engine.deps import Deps
from orchestrator.engine.fault_points import POINTS
from tests.crash.agents import LEAVES
from tests.crash.matrix import TREES, Aftermath, run
from tests.docs.pages import ROOT
from tests.store.databases import database
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def deps_of_all(
    run_servers: EmbeddedServers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Deps, dict[str, Aftermath]]]:
    """The engine after all deaths, and what is left of each."""
    folder = tmp_path_factory.mktemp("crash")
    with database(run_servers, "template_ours") as url, pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        settings = Settings.load(
            redis_url=run_servers.redis_url, database_url=url, gate="crash-matrix"
        )
        patch.setenv("ORCHESTRATOR_GATE", "crash-matrix")
        deps = bootstrap.build(settings)
        with Orchestrator(deps) as orchestrator:
            yield deps, run(settings, orchestrator, folder)


@pytest.fixture(params=POINTS)
def aftermath(
    request: pytest.FixtureRequest, deps_of_all: tuple[Deps, dict[str, Aftermath]]
) -> Aftermath:
    """What is left of the death at one point."""
    return deps_of_all[1][request.param]


def test_the_worker_died_where_it_was_to(aftermath: Aftermath) -> None:
    assert aftermath.exit_code == -signal.SIGKILL


def test_every_tree_ends_with_the_right_result(aftermath: Aftermath) -> None:
    """R1."""
    assert aftermath.results == [LEAVES] * TREES
    assert {row["ended_at"] is None for row in aftermath.instances} == {False}
    kept = [row for row in aftermath.instances if not row["superseded"]]
    assert {row["state"] for row in kept} == {"completed"}
    # No spawn was made twice by a replay.
    assert len(kept) == TREES * (1 + 1 + LEAVES + 1)


def test_every_action_of_a_step_took_place_once(aftermath: Aftermath) -> None:
    """R4: twice only where the attempt was lost between the action and its record."""
    lost = {
        (str(event["instance_id"]), event["attempt"])
        for event in aftermath.events
        if event["reason"] in ("LEASE_EXPIRED", "MESSAGE_LOST")
    }
    actions = defaultdict(list)
    for instance, attempt, name in aftermath.actions:
        actions[instance, name].append(attempt)
    repeated = [one for one, attempts in actions.items() if len(attempts) > 1]
    for one, attempts in actions.items():
        *earlier, last = attempts
        assert attempts == sorted(set(attempts)), one
        assert all((one[0], attempt) in lost for attempt in earlier), (one, attempts)
        recorded = [
            step["attempt"]
            for step in aftermath.steps
            if (str(step["instance_id"]), step["name"]) == one
        ]
        assert recorded in ([last], []), one
        assert recorded or one[1] == "prepare", one  # `continue_as_new` takes that one's back
    if aftermath.point.startswith("step."):
        by_the_dead = [
            one for one in repeated if (one[0], actions[one][0]) in of_the_dead(aftermath)
        ]
        assert len(by_the_dead) == (aftermath.point == "step.acted")
    done = {str(row["id"]) for row in aftermath.instances if row["agent"] == "crash-leaf"}
    assert {instance for instance, name in actions if name == "after"} == done


def of_the_dead(aftermath: Aftermath) -> set[tuple[str, int]]:
    """The attempts of the worker that died: until then there was no other one."""
    begun = [event for event in aftermath.events if event["to_state"] == "running"]
    return {
        (str(event["instance_id"]), event["attempt"])
        for event in begun
        if event["worker"] == begun[0]["worker"]
    }


def test_nothing_lives_longer_than_what_is_above_it(aftermath: Aftermath) -> None:
    """R5."""
    ends = {row["id"]: row["ended_at"] for row in aftermath.instances}
    for row in aftermath.instances:
        if row["parent_id"] is not None:
            assert row["ended_at"] <= ends[row["parent_id"]], row


def test_every_change_has_one_event(aftermath: Aftermath) -> None:
    """R8: the trail of each instance can be replayed, and ends with what its row says."""
    trails = defaultdict(list)
    for event in aftermath.events:
        trails[event["instance_id"]].append(event)
    for row in aftermath.instances:
        before, attempt = None, 0
        for event in trails[row["id"]]:
            assert event["from_state"] == before
            if before is None:
                assert event["to_state"] == "queued"
            elif event["to_state"] != before:
                assert allowed(State(before), State(str(event["to_state"])))
            else:
                # A stay is an event only where the attempt was taken away.
                assert event["attempt"] > attempt
            before, attempt = str(event["to_state"]), event["attempt"]
        assert (before, attempt) == (row["state"], row["attempt"])
        assert trails[row["id"]][-1]["reason"] == row["reason"]


def test_nothing_is_held_in_the_end(deps_of_all: tuple[Deps, dict[str, Aftermath]]) -> None:
    """R3: no slot, no place, no lock, nothing that the gate still remembers."""
    gate = deps_of_all[0].gate
    wait_until(lambda: gate.held() == 0, "no slot is held", seconds=5.0)
    assert gate.backlog() == 0
    wait_until(lambda: not gate.redis.keys("*crash-matrix*:instance:*"), "no instance is known")
    locks = gate.redis.keys("*crash-matrix*:lock:*")
    assert {str(name).rpartition(":")[2] for name in locks} <= {"token", "sequence"}
    assert reap.run_once(deps_of_all[0]).to_dict()["orphans"] == 0


def test_the_points_are_those_of_the_code() -> None:
    """A point that nobody reaches would prove nothing."""
    found = {
        constant.value
        for path in Path(ROOT / "orchestrator").rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "reached"
        for constant in ast.walk(call.args[0])
        if isinstance(constant, ast.Constant) and "." in str(constant.value)
    }
    assert found == set(POINTS)
