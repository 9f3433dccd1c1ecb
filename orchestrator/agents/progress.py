"""How an agent tells how far it is, and looks how far others are."""

from __future__ import annotations

from orchestrator.agents.operations import Operations
from orchestrator.domain.progress import Progress, check_progress


class TellsProgress(Operations):
    """The part of a context that is about progress."""

    def progress(self, fraction: float | None = None, message: str = "") -> None:
        """Say how much is done, from 0 to 1 (None: not known), and what is being done.

        Costs nothing: it is written in the background, the newest at most once a second. Everybody
        sees it: `handle.progress()`, `orchestrator show`. Nothing depends on it; what an agent
        needs again itself belongs into a step. Raises `InvalidRequest`.
        """
        self._backend.check()
        self._backend.tell(*check_progress(fraction, message))

    def progress_of(self, instance_id: str) -> Progress | None:
        """What an instance had told at this point of the function, in every run."""
        with self._lock:
            place = self._next("progress", instance_id)
            if place.recorded is not None:
                told = place.recorded.value
                return None if told is None else Progress.from_dict(told)
            found = self._backend.progress_of(instance_id)
            self._history.later(place.entry(None if found is None else found.to_dict()))
            return found
