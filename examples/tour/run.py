"""Go through the proofs and say which hold."""

from __future__ import annotations

import time
import uuid
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.markup import escape

from examples.tour.claims import NotProved, Stage
from examples.tour.proofs import PROOFS, Proof
from orchestrator import Orchestrator, OrchestratorError


@dataclass(frozen=True)
class Outcome:
    """What became of one proof."""

    proof: str
    holds: bool
    #: why it does not; empty if it does
    problem: str
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """The outcome as JSON."""
        return asdict(self)


def run_tour(orchestrator: Orchestrator, console: Console | None) -> list[Outcome]:
    """All proofs, one after the other, each with what it shows. `console` None is silent."""
    run = uuid.uuid4().hex[:6]
    outcomes = []
    for number, (name, proof) in enumerate(PROOFS.items(), start=1):
        if console is not None:
            title = (proof.__doc__ or "").strip()
            console.print(f"\n[bold]{number}. {name}[/]  {escape(title)}", highlight=False)
        outcomes.append(_prove(Stage(orchestrator, run, console), name, proof))
        if console is not None:
            _print(outcomes[-1], console)
    return outcomes


def _prove(stage: Stage, name: str, proof: Proof) -> Outcome:
    started = time.monotonic()
    problem = ""
    try:
        proof(stage)
    except (NotProved, OrchestratorError) as error:
        problem = f"{type(error).__name__}: {error}"
    return Outcome(name, not problem, problem, round(time.monotonic() - started, 2))


def _print(outcome: Outcome, console: Console) -> None:
    mark = "[bold green]holds[/]" if outcome.holds else "[bold red]DOES NOT HOLD[/]"
    console.print(
        f"    {mark} ({outcome.seconds:.1f} s) {escape(outcome.problem)}", highlight=False
    )
