"""A service's view: a client, and workers to start."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator import Orchestrator, Settings
from tests.support.processes import Programs, programs


@pytest.fixture
def orchestrator(settings: Settings) -> Iterator[Orchestrator]:
    """A service's connection."""
    with Orchestrator.from_settings(settings) as client:
        yield client


@pytest.fixture
def start(settings: Settings, tmp_path: Path) -> Iterator[Programs]:
    """Starts workers and beats, which end with the test."""
    with programs(settings, tmp_path) as running:
        yield running
