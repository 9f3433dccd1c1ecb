"""Servers and gates for the tests of the gate."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from orchestrator.devstack import EmbeddedServers, scratch_folder
from orchestrator.domain.limits import Limits
from tests.gate.traced import TracedGate, probed_library


def _programs() -> dict[str, Path | None]:
    """The Redis-protocol servers of this machine: always the embedded one."""
    found = {name: shutil.which(name) for name in ("redis-server", "valkey-server")}
    return {"embedded": None} | {name: Path(path) for name, path in found.items() if path}


PROGRAMS = _programs()


@pytest.fixture
def gate(redis_url: str) -> Iterator[TracedGate]:
    """An open gate with room, on the tests' clock."""
    with closing(TracedGate(redis_url, probed_library())) as gate:
        gate.open(Limits())
        gate.heartbeat("worker", "default", 100, [])
        yield gate


@pytest.fixture(params=PROGRAMS)
def own_redis(request: pytest.FixtureRequest) -> Iterator[EmbeddedServers]:
    """A server of the test's own, of each kind that this machine has."""
    program = PROGRAMS[request.param]
    with (
        scratch_folder() as folder,
        EmbeddedServers(folder, durable=False, database=False, redis_program=program) as servers,
    ):
        yield servers
