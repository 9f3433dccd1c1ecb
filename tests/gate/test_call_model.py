"""Buckets, turns and breakers do exactly what their model does, whatever happens in whatever order.

The model (`tests/support/call_model.py`) is the specification of the scripts; see
`tests/gate/call_machine.py` for what happens.
"""

from __future__ import annotations

from contextlib import closing

from tests.gate.call_machine import check
from tests.gate.test_gate_model import SETTINGS
from tests.gate.traced import TracedGate, probed_library


def test_the_gate_does_with_calls_what_the_model_does(redis_url: str) -> None:
    with closing(TracedGate(redis_url, probed_library())) as gate:
        check(gate, SETTINGS)
