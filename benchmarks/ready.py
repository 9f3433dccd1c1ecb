"""How a bare worker tells that it consumes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from celery import signals


def announce() -> None:
    """Create the file named in ORCHESTRATOR_READY_FILE as soon as the worker consumes."""
    signals.worker_ready.connect(_write, weak=False)


def _write(**_: Any) -> None:
    Path(os.environ["ORCHESTRATOR_READY_FILE"]).touch()
