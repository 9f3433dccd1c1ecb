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
from orchestrator.engine import reap
from orchestrator.engine.deps import Deps
from orchestrator.engine.fault_points import POINTS
from tests.crash.agents import LEAVES
from tests.crash.matrix import TREES, Aftermath, run
from tests.docs.pages import ROOT
from tests.rules.evidence import Evidence
from tests.rules.gate_view import look
from tests.rules.judge import judge, told
from tests.rules.rows import Books
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
    rows = aftermath.evidence.instances
    kept = [row for row in rows if not row["superseded"]]
    assert {row["state"] for row in kept} == {"completed"}
    # No spawn was made twice by a replay.
    assert len(kept) == TREES * (1 + 1 + LEAVES + 1)


def test_every_rule_holds(aftermath: Aftermath) -> None:
    """R1, R4, R5, R7 and R8; the gate is judged once all is over."""
    verdict = judge(aftermath.evidence)
    assert not verdict.violations, told(verdict.violations)
    assert all(verdict.checks[rule] for rule in ("R1", "R4", "R5", "R7", "R8"))


def test_every_action_of_a_step_took_place_once(aftermath: Aftermath) -> None:
    """R4: twice only where the attempt was lost between the action and its record."""
    evidence = aftermath.evidence
    lost = Books.of(evidence).lost
    actions = defaultdict(list)
    for effect in evidence.effects:
        actions[effect.instance, effect.step].append(effect.attempt)
    # Stricter than the rule: nobody here is broken into, nor goes on after it was lost.
    for (one, name), (*earlier, last) in actions.items():
        assert all(before < last and (one, before) in lost for before in earlier), (one, name)
    repeated = [one for one, attempts in actions.items() if len(attempts) > 1]
    if aftermath.point.startswith("step."):
        by_the_dead = [
            one for one in repeated if (one[0], actions[one][0]) in of_the_dead(evidence)
        ]
        assert len(by_the_dead) == (aftermath.point == "step.acted")
    done = {row["id"] for row in evidence.instances if row["agent"] == "crash-leaf"}
    assert {instance for instance, name in actions if name == "after"} == done


def of_the_dead(evidence: Evidence) -> set[tuple[str, int]]:
    """The attempts of the worker that died: until then there was no other one."""
    begun = [event for event in evidence.events if event["to_state"] == "running"]
    return {
        (event["instance_id"], event["attempt"])
        for event in begun
        if event["worker"] == begun[0]["worker"]
    }


def test_nothing_is_held_in_the_end(deps_of_all: tuple[Deps, dict[str, Aftermath]]) -> None:
    """R3: no slot, no place, no lock, nothing that the gate still remembers."""
    deps = deps_of_all[0]
    wait_until(lambda: not look(deps.gate.redis, deps.gate.name).remains, "nothing is held")
    assert reap.run_once(deps).to_dict()["orphans"] == 0


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
