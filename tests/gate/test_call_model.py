"""Buckets, turns and breakers do exactly what their model does, whatever happens in whatever order.

The model (`tests/support/call_model.py`) is the specification of the scripts; see
`tests/gate/call_machine.py` for what happens.
"""

from __future__ import annotations

from contextlib import closing

from hypothesis import settings

from tests.gate import breaker_machine, call_machine
from tests.gate.test_gate_model import SETTINGS
from tests.gate.traced import TracedGate, probed_library


def test_the_gate_does_with_calls_what_the_model_does(redis_url: str) -> None:
    with closing(TracedGate(redis_url, probed_library())) as gate:
        call_machine.check(gate, settings(SETTINGS, stateful_step_count=50))


def test_breakers_do_what_the_model_does(redis_url: str) -> None:
    with closing(TracedGate(redis_url, probed_library())) as gate:
        breaker_machine.check(gate, settings(SETTINGS, stateful_step_count=40))
