"""What the session shares, as an agent sees it: in every run as in the first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from orchestrator.agents.history import Place
from orchestrator.agents.operations import Operations
from orchestrator.agents.shared import Shared
from orchestrator.domain.errors import InvalidRequest, VersionConflict
from orchestrator.domain.shared import SharedValue
from orchestrator.engine.messages import check_name
from orchestrator.engine.shared import no_version


class Sharing(Operations):
    """The operations for shared values."""

    @property
    def shared(self) -> Shared:
        """Values by key that the whole session shares, with all their versions."""
        return Shared(_Values(self))

    # --- what `_Values` asks -----------------------------------------------------------------

    def _read_shared(self, name: str, key: str, read: Callable[[], Any]) -> Any:
        """What was read here first. It is written before anybody can build on it."""
        with self._lock:
            place = self._next(f"shared.{name}", key)
            if place.recorded is not None:
                return place.recorded.value
            value = read()
            self._history.later(place.entry(value))
            return value

    def _set_shared(self, key: str, value: object, expected: int | None) -> int:
        """Give a key a value."""
        check_name("a key", key)
        text = self._encode(value, f"the shared value {key!r}")
        return self._change("set", key, text, expected)

    def _delete_shared(self, key: str, expected: int | None) -> int:
        """Take a key away."""
        return self._change("delete", key, None, expected)

    def _roll_back_shared(self, version: int) -> int:
        """Make all keys what they were at a version."""
        with self._lock:
            place = self._next("shared.rollback", str(version))
            if place.recorded is None:
                others = self._history.unwritten()
                done = self._backend.values.roll_back(version, place.entry(), others)
                self._history.were_written()
            else:
                done = place.recorded.value
            return self._judge(place, "", version, done)

    def _no_version(self, version: int, newest: int) -> InvalidRequest:
        """The refusal of a version that the session was never at."""
        return no_version(self._backend.instance.session, version, newest)

    def _change(self, name: str, key: str, text: str | None, expected: int | None) -> int:
        with self._lock:
            place = self._next(f"shared.{name}", key)
            if place.recorded is None:
                others = self._history.unwritten()
                done = self._backend.values.change(key, text, expected, place.entry(), others)
                self._history.were_written()
            else:
                done = place.recorded.value
            return self._judge(place, key, expected, done)

    def _judge(self, place: Place, key: str, expected: int | None, done: dict[str, Any]) -> int:
        version = int(done["version"])
        if done["outcome"] == "conflict":
            session = self._backend.instance.session
            raise self._raised(place, VersionConflict(session, key, expected or 0, version))
        if done["outcome"] == "unknown":
            raise self._raised(place, self._no_version(expected or 0, version))
        return version


class _Values:
    """See `SharedDesk`: each call is an operation of the agent."""

    def __init__(self, sharing: Sharing) -> None:
        self._sharing = sharing
        self._values = sharing._backend.values

    def newest(self, key: str) -> SharedValue | None:
        def read() -> dict[str, Any] | None:
            found = self._values.newest(key)
            return None if found is None else found.to_dict()

        value = self._sharing._read_shared("get", key, read)
        return None if value is None else SharedValue.from_dict(value)

    def history(self, key: str) -> list[SharedValue]:
        return self._read_all("history", key, lambda: self._values.history(key))

    def at(self, version: int | None) -> list[SharedValue]:
        if version is not None:
            newest = self.version()
            if not 0 <= version <= newest:
                raise self._sharing._no_version(version, newest)
        name = "" if version is None else str(version)
        return self._read_all("at", name, lambda: self._values.at(version))

    def version(self) -> int:
        return int(self._sharing._read_shared("version", "", self._values.version))

    def set(self, key: str, value: Any, expected: int | None) -> int:
        return self._sharing._set_shared(key, value, expected)

    def delete(self, key: str, expected: int | None) -> int:
        return self._sharing._delete_shared(key, expected)

    def roll_back(self, version: int) -> int:
        return self._sharing._roll_back_shared(version)

    def _read_all(
        self, name: str, key: str, read: Callable[[], list[SharedValue]]
    ) -> list[SharedValue]:
        values = self._sharing._read_shared(name, key, lambda: [one.to_dict() for one in read()])
        return [SharedValue.from_dict(value) for value in values]
