"""Starts spawns that were recorded inside callers' own transactions, as they commit.

One that is not heard of (no beat was running, the connection was down) is found by the
reconciler.
"""

from __future__ import annotations

import threading

from orchestrator.engine.deps import Deps
from orchestrator.engine.follow_up import follow_up
from orchestrator.store.listen import notifications
from orchestrator.store.store import SPAWNED
from orchestrator.telemetry.logging import get_logger

log = get_logger("orchestrator.intake")


class Intake:
    """A thread that hears of committed spawns and puts them in line."""

    def __init__(self, deps: Deps, database_url: str) -> None:
        self._deps = deps
        self._url = database_url
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._take_in, name="intake", daemon=True)

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._closed.set()
        self._thread.join(timeout=5)

    def _take_in(self) -> None:
        for instance_id in notifications(self._url, SPAWNED, self._closed):
            try:
                follow_up(self._deps, [instance_id])
            except Exception:
                # Whatever it was, the next one may go well; the reconciler takes this one.
                log.exception("intake.failed", instance=instance_id)
