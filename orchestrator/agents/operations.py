"""How every operation of an agent is carried out: at its position, once, one at a time."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NoReturn

from orchestrator.agents.backend import Backend
from orchestrator.agents.history import History, Place
from orchestrator.domain import payload
from orchestrator.domain.errors import InvalidRequest, OrchestratorError
from orchestrator.domain.instance import LONGEST_TIMEOUT
from orchestrator.domain.waits import Wait, WaitKind
from orchestrator.engine.running import Suspended


class Operations:
    """The journal and the backend of one run; what `Context` is made of stands on it."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        instance = backend.instance
        ran_before = instance.attempt > 1 or instance.retry_of is not None
        self._history = History(
            instance.id,
            backend.load_journal if ran_before else None,
            backend.write_journal,
            backend.max_history,
        )
        # One thing at a time, also in an `async def` that runs several tasks of its own.
        self._lock = threading.RLock()

    @property
    def history(self) -> History:
        """What this run has done, for whoever runs it."""
        return self._history

    def _next(self, kind: str, name: str = "") -> Place:
        """The next operation of the function, unless it has to be left."""
        self._backend.check()
        return self._history.next(kind, name)

    def _claim(self, place: Place) -> str:
        """The name of a wait or lock at the gate: the same in every run that gets there."""
        return f"{self._backend.instance.history}:{place.position}"

    def _wait_for(self, place: Place, kind: WaitKind, until: datetime | None = None) -> Wait:
        """What an operation waits for, to be filled in with whom or what."""
        return Wait(kind, place.position, self._claim(place), until=until)

    def _suspend(self, place: Place, wait: Wait, note: Mapping[str, Any] | None = None) -> NoReturn:
        """Leave the function until what it waits for is there.

        When that has an end, it is recorded, so that no later run waits longer; with the `note`.
        """
        own = []
        if wait.until is not None:
            own = [place.entry({"until": wait.until.isoformat(), **(note or {})})]
        self._backend.leave(Suspended(wait, self._history.unwritten(*own)))

    def _raised(
        self, place: Place, error: OrchestratorError, children: Sequence[str] = ()
    ) -> OrchestratorError:
        """An error that the function is given here, and may fail with."""
        self._history.blame(error, place.position, children)
        return error

    def _keep(self, place: Place, value: object, what: str) -> Any:
        """Record what an operation brought; answers it as a later run will read it."""
        with self._lock:
            text = self._encode(value, what)
            self._history.write(place.entry(text=text))
            return decoded(text)

    def _encode(self, value: object, what: str) -> str:
        try:
            return payload.encode(value, name=what, max_bytes=self._backend.max_payload_bytes)
        except payload.NotJSON as error:
            raise InvalidRequest("NOT_JSON", f"{error}. Recorded values must be JSON.") from None
        except payload.TooLarge as error:
            raise InvalidRequest("PAYLOAD_TOO_LARGE", str(error)) from None


def until_of(place: Place) -> datetime | None:
    """When a wait is over, as it was recorded when it began."""
    if place.recorded is None or not isinstance(place.recorded.value, dict):
        return None
    until = place.recorded.value.get("until")
    return None if until is None else datetime.fromisoformat(until)


def decoded(text: str) -> object:
    """A value as a later run will read it."""
    return json.loads(text)


def checked_seconds(value: object, what: str) -> float:
    """A number of seconds as an agent gives it; raises `InvalidRequest`."""
    seconds = value if type(value) in (int, float) else None
    if isinstance(seconds, int | float) and 0 <= seconds <= LONGEST_TIMEOUT:
        return float(seconds)
    raise InvalidRequest(
        "INVALID_TIMEOUT", f"{what} is {value!r}; it must be seconds from 0 to {LONGEST_TIMEOUT:g}."
    )
