"""Folders and servers for the tests of the devstack."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.devstack import EmbeddedServers, scratch_folder


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty folder that every user may enter."""
    with scratch_folder() as path:
        yield path


@pytest.fixture(scope="module")
def servers() -> Iterator[EmbeddedServers]:
    """Running throw-away servers, shared by the tests of one file."""
    with scratch_folder() as path, EmbeddedServers(path, durable=False) as running:
        yield running
