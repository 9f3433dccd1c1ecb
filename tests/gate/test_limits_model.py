"""What operators have set stands before what settings say; see `tests/gate/limits_machine.py`."""

from __future__ import annotations

from contextlib import closing

from hypothesis import settings

from tests.gate.limits_machine import check
from tests.gate.test_gate_model import SETTINGS
from tests.gate.traced import TracedGate, probed_library


def test_the_gate_holds_what_the_model_says(redis_url: str) -> None:
    with closing(TracedGate(redis_url, probed_library())) as gate:
        check(gate, settings(SETTINGS, max_examples=150))
