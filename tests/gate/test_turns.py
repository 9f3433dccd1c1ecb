"""Who waits to call is served in fair turns, and nobody saves turns up for later."""

from __future__ import annotations

from orchestrator.admission.calls import Caller
from orchestrator.domain.call import Amounts
from orchestrator.domain.resource import Resource
from tests.gate.traced import TracedGate


def test_a_newcomer_takes_turns_with_those_who_wait(gate: TracedGate) -> None:
    gate.declare([Resource("r", requests_per_minute=60, burst=0.01, breaker=None)])
    waiting = [Caller(f"a{number}", "r", "a") for number in range(6)]
    _serve(gate, waiting, 4)
    waiting = waiting[4:] + [Caller(f"b{number}", "r", "b") for number in range(3)]
    served = _serve(gate, waiting, len(waiting))
    assert served == ["a4", "b0", "a5", "b1", "b2"]


def _serve(gate: TracedGate, waiting: list[Caller], count: int) -> list[str]:
    """Let all of them come again until so many were served; answers who, in order."""
    served: list[str] = []
    while len(served) < count:
        for caller in waiting:
            if caller.id not in served:
                verdict = gate.acquire(caller, Amounts(), may_wait=True)
                served += [caller.id] if verdict.decision == "taken" else []
        gate.take_calls()
        gate.clock.advance(1.1)
    return served
