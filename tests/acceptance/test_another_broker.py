"""Where the broker is not the gate's Redis, a relay carries the messages."""

from __future__ import annotations

import pytest
import redis

from orchestrator import Orchestrator
from orchestrator.config.settings import Settings
from tests.support.processes import Programs


@pytest.fixture
def broker_url(settings: Settings) -> str:
    """Another logical database: nothing of the gate can be seen from it."""
    assert settings.redis_url is not None
    return settings.redis_url.rpartition("/")[0] + "/1"


def test_a_spawn_runs_through_the_relay(
    settings: Settings, start: Programs, broker_url: str
) -> None:
    start.beat(ORCHESTRATOR_BROKER_URL=broker_url)
    start.worker(ORCHESTRATOR_BROKER_URL=broker_url)
    located = settings.model_copy(update={"broker_url": broker_url})
    with Orchestrator.from_settings(located) as orchestrator:
        assert orchestrator.spawn("tree", {"fan": 2, "depth": 2}).result(timeout=20) == 7
    with redis.Redis.from_url(str(settings.redis_url), decode_responses=True) as gate:
        assert gate.keys("*.default*") == []  # no message went by the gate's own Redis
