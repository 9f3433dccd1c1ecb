"""progress: what runs tell of how far they are, written for all of a process at once.

An agent never waits for it: what it tells is kept, and the process writes the newest of each run,
at most once a second, and once more before the attempt ends.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from orchestrator.domain.progress import Progress

if TYPE_CHECKING:
    from orchestrator.engine.deps import Deps
    from orchestrator.engine.running import Run

#: Seconds between two writes of one run.
PERIOD = 1.0


class Teller:
    """What one run has told, and whether that is written."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._newest: Progress | None = None
        self._written_at = float("-inf")

    def tell(self, fraction: float | None, message: str, attempt: int) -> None:
        """Keep this as the newest."""
        with self._lock:
            self._newest = Progress(fraction, message, datetime.now(UTC), attempt)

    def take(self, *, last: bool = False) -> Progress | None:
        """What is to be written now, if anything is; whoever takes it writes it."""
        now = time.monotonic()
        with self._lock:
            if self._newest is None or not (last or now >= self._written_at + PERIOD):
                return None
            found, self._newest, self._written_at = self._newest, None, now
            return found

    def put_back(self, progress: Progress) -> None:
        """It could not be written; it stays the newest unless something was told since."""
        with self._lock:
            self._newest = self._newest or progress


def flush(deps: Deps, runs: Iterable[Run], *, last: bool = False) -> int:
    """Write what is due, in one statement; answers of how many runs. Raises `Unavailable`."""
    told = [(run, found) for run in runs if (found := run.progress.take(last=last)) is not None]
    if not told:
        return 0
    try:
        deps.store.control.write_progress([(run.id, found) for run, found in told])
    except BaseException:
        for run, found in told:
            run.progress.put_back(found)
        raise
    return len(told)
