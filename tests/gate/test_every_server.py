"""The scripts do the same on every Redis-protocol server that this machine has.

The embedded server runs the whole of `test_gate_model.py`; here each server of the machine does
a short run (a `redis-server` on the PATH, such as Debian's 7.0, is found by itself).
"""

from __future__ import annotations

from contextlib import closing

import pytest
from hypothesis import settings

from orchestrator.devstack import EmbeddedServers
from orchestrator.domain.errors import GateUnavailable
from orchestrator.domain.limits import Limits
from tests.gate.machine import check
from tests.gate.test_gate_model import SETTINGS
from tests.gate.traced import TracedGate, probed_library


def test_the_gate_does_what_the_model_does(own_redis: EmbeddedServers) -> None:
    with closing(TracedGate(own_redis.redis_url, probed_library())) as gate:
        check(gate, settings(SETTINGS, max_examples=10))


def test_a_process_outlives_its_server(own_redis: EmbeddedServers) -> None:
    # With more failures in between than redis-py lends connections.
    with closing(TracedGate(own_redis.redis_url, probed_library())) as gate:
        own_redis.redis.kill()
        for _ in range(150):
            with pytest.raises(GateUnavailable):
                gate.glance("anything")
        own_redis.redis.start()
        gate.open(Limits())
        assert gate.unknown(["anything"]) == ["anything"]
