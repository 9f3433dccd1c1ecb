"""The six proofs hold on real workers, and one that does not is told and fails."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from examples.tour import run
from examples.tour.claims import NotProved, Stage
from examples.tour.proofs import PROOFS
from examples.tour.run import run_tour
from orchestrator import Orchestrator
from tests.support.processes import Programs

AGENTS = "examples.tour.agents"


def test_all_six_proofs_hold(orchestrator: Orchestrator, start: Programs) -> None:
    for _ in range(2):
        start.worker("--concurrency", "8", agents=AGENTS)
    out = io.StringIO()
    outcomes = run_tour(orchestrator, Console(file=out, width=120))
    assert [one.proof for one in outcomes] == list(PROOFS)
    assert [one.problem for one in outcomes] == [""] * 6
    for words in (
        "QUEUED -> RUNNING -> COMPLETED",
        "agent-B -> agent-C -> agent-B",
        "CONCURRENT_LIMIT",
        "BREAKER_OPEN",
        "CLOSED -> OPEN -> HALF_OPEN -> CLOSED",
        "tour.researcher",
    ):
        assert words in out.getvalue()


def test_a_proof_that_fails_does_not_hide_the_others(
    orchestrator: Orchestrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def holds(stage: Stage) -> None:
        stage.claim("one is one", True)

    def does_not(stage: Stage) -> None:
        stage.claim("one is two", False)

    def is_refused(stage: Stage) -> None:
        stage.spawn("nobody", {}, "s")

    proofs = {"first": holds, "second": does_not, "third": is_refused}
    monkeypatch.setattr(run, "PROOFS", proofs)
    out = io.StringIO()
    outcomes = run_tour(orchestrator, Console(file=out, width=120))
    assert [one.holds for one in outcomes] == [True, False, False]
    assert NotProved.__name__ in outcomes[1].problem
    assert "nobody" in outcomes[2].problem
    assert out.getvalue().count("DOES NOT HOLD") == 2
