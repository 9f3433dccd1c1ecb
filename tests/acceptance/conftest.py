"""A service's view: a client, and programs to start."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator import Orchestrator
from orchestrator.config.settings import Settings
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


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """A file that agents write to."""
    path = tmp_path / "ledger"
    path.touch()
    return path


@pytest.fixture
def go(tmp_path: Path) -> Path:
    """A file whose existence lets agents of the kind `hold` end."""
    return tmp_path / "go"
