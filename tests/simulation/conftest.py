"""The ground of the simulator, on the servers of the run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from orchestrator.devstack import EmbeddedServers
from tests.simulation.ground import Ground, prepare


@pytest.fixture(scope="module")
def stand(run_servers: EmbeddedServers) -> Iterator[Ground]:
    """A database and a gate whose time is the simulator's."""
    made = Ground(run_servers.redis_url, prepare(run_servers.database_url))
    yield made
    made.close()
