"""How attempts of this process have ended, as long as PostgreSQL does not know it.

An agent's function has returned, and PostgreSQL is away. Its result is the most expensive thing
there is, so the process goes on trying as long as it lives; the attempt's fence decides in the end
whether it is still the one to write. What cannot be written at the first try is also put on a
*shelf* that survives the process (see `workers/shelf.py`), and taken off it when it is written.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, TypeVar

from orchestrator.domain.errors import Unavailable
from orchestrator.engine.patience import insist
from orchestrator.telemetry.logging import get_logger

if TYPE_CHECKING:
    from orchestrator.engine.execute import Outcome
    from orchestrator.engine.running import Run

T = TypeVar("T")
log = get_logger("orchestrator.endings")

#: Seconds for which the gate is told of what PostgreSQL knows already: leases do the rest.
TELLING = 60.0


class Shelf(Protocol):
    """Where endings outlive the process."""

    def put(self, run: Run, outcome: Outcome) -> bool:
        """Keep this, once; False where it cannot be or need not be kept."""

    def take_off(self, run: Run) -> None:
        """It is written, or not this attempt's to write any more."""


class NoShelf:
    """For processes that run nothing of their own."""

    def put(self, run: Run, outcome: Outcome) -> bool:
        """Keep nothing."""
        return False

    def take_off(self, run: Run) -> None:
        """Nothing is kept."""


class Endings:
    """The endings of one process that are being written."""

    def __init__(self, shelf: Shelf | None = None) -> None:
        self._shelf = shelf or NoShelf()
        self._unwritten: dict[Run, Outcome] = {}
        self._lock = threading.Lock()
        self._closing = threading.Event()

    def close(self) -> None:
        """The process ends soon: whatever is not written now is shelved, nobody insists."""
        self._closing.set()
        with self._lock:
            unwritten = list(self._unwritten)
        for run in unwritten:
            self._shelve(run)

    @contextmanager
    def writing(self, run: Run, outcome: Outcome) -> Iterator[None]:
        """While inside, the run's ending is being written."""
        with self._lock:
            self._unwritten[run] = outcome
        try:
            yield
        except Unavailable as error:
            if not self._shelve(run):
                raise
            log.warning("ending.shelved", instance=run.id, attempt=run.attempt, error=error.code)
        finally:
            with self._lock:
                self._unwritten.pop(run, None)

    def written(self, run: Run) -> None:
        """PostgreSQL knows it, or says that it is not this attempt's to write."""
        with self._lock:
            self._unwritten.pop(run, None)
        self._shelf.take_off(run)

    def write(self, run: Run, action: Callable[[], T]) -> T:
        """The answer of PostgreSQL, however long it takes while the process lives."""
        return insist(
            action,
            float("inf"),
            pause=self._closing.wait,
            is_over=self._closing.is_set,
            on_failure=lambda: self._keep(run),
        )

    def tell(self, action: Callable[[], T]) -> T:
        """The answer of the gate, for a while."""
        return insist(action, TELLING, pause=self._closing.wait, is_over=self._closing.is_set)

    def _keep(self, run: Run) -> None:
        self._shelve(run)

    def _shelve(self, run: Run) -> bool:
        with self._lock:
            outcome = self._unwritten.get(run)
        return outcome is not None and self._shelf.put(run, outcome)
