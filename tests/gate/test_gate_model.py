"""The gate does exactly what its model does, whatever happens in whatever order.

The model (`tests/support/gate_model.py`) is the specification of the scripts. After every call
the replies, the messages and their order, and everything in Redis must be what the model says;
see `tests/gate/machine.py`.
"""

from __future__ import annotations

from contextlib import closing

from hypothesis import HealthCheck, Phase, settings

from tests.gate.machine import check
from tests.gate.traced import TracedGate, probed_library

SETTINGS = settings(
    max_examples=55,
    stateful_step_count=80,
    # The same examples at every run: a fault is found by whoever made it.
    derandomize=True,
    # To shrink takes minutes. What is printed shows every call, so that it is not needed.
    phases=[Phase.generate],
    deadline=None,
    suppress_health_check=list(HealthCheck),  # Every example talks to a server.
)


def test_the_gate_does_what_the_model_does(redis_url: str) -> None:
    with closing(TracedGate(redis_url, probed_library())) as gate:
        check(gate, SETTINGS)
