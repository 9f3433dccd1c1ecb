"""Pages, and programs to make the conditions with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator import Orchestrator
from orchestrator.config.settings import Settings
from tests.runbooks.pages import Runbook
from tests.support.processes import Programs, programs

Page = Callable[..., Runbook]


@pytest.fixture
def page(settings: Settings, tmp_path: Path) -> Page:
    """`page("stuck-queue", ID=...)`: a runbook, with the variables it speaks of."""
    return lambda name, **names: Runbook(name, settings, tmp_path, **names)


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
