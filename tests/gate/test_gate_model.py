"""The gate does exactly what its model does, whatever happens in whatever order.

The model (`tests/support/gate_model.py`) is the specification of the scripts. After every call
the replies, the messages and their order, and everything in Redis must be what the model says;
see `tests/gate/machine.py`.
"""

from __future__ import annotations

from contextlib import closing

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.gate.machine import GateMachine
from tests.gate.traced import TracedGate, probed_library

#: The same examples at every run: what is found here is found by whoever broke it.
SETTINGS = settings(
    max_examples=100,
    stateful_step_count=50,
    derandomize=True,
    phases=[Phase.generate],
    deadline=None,
    # Every example talks to a server, and rules that need an instance wait for the first one.
    suppress_health_check=list(HealthCheck),
)


def test_the_gate_does_what_the_model_does(redis_url: str) -> None:
    with closing(TracedGate(redis_url, probed_library())) as gate:
        run_state_machine_as_test(lambda: GateMachine(gate), settings=SETTINGS)
