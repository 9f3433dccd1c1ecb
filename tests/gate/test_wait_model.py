"""Waits and locks are exactly what their model says, whatever happens in whatever order.

The model (`tests/support/wait_model.py`) is the specification. After every call the reply, who
was woken, and everything of waits and locks in Redis must be what the model says; and nobody is
ever stuck who should not be.
"""

from __future__ import annotations

from contextlib import closing

from hypothesis import HealthCheck, Phase, settings

from tests.gate.traced import TracedGate, probed_library
from tests.gate.wait_machine import check

SETTINGS = settings(
    max_examples=40,
    stateful_step_count=60,
    # The same examples at every run: a fault is found by whoever made it.
    derandomize=True,
    phases=[Phase.generate],
    deadline=None,
    suppress_health_check=list(HealthCheck),  # Every example talks to a server.
)


def test_waits_and_locks_are_what_the_model_says(redis_url: str) -> None:
    with closing(TracedGate(redis_url, probed_library())) as gate:
        check(gate, SETTINGS)
