"""Budgets do exactly what their model says, whatever happens in whatever order.

The model (`tests/support/budget_model.py`) adds facts up anew each time; the scripts keep sums.
See `tests/gate/budget_machine.py` for what happens.
"""

from __future__ import annotations

from contextlib import closing

from tests.gate.budget_machine import check
from tests.gate.test_gate_model import SETTINGS
from tests.gate.traced import TracedGate, probed_library


def test_the_gate_does_with_budgets_what_the_model_does(redis_url: str) -> None:
    with closing(TracedGate(redis_url, probed_library())) as gate:
        check(gate, SETTINGS)
