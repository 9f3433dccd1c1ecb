"""What the agents of a session share, as agents and services hold it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, Protocol, TypeVar

from orchestrator.domain.errors import VersionConflict
from orchestrator.domain.shared import SharedValue

P = ParamSpec("P")
R = TypeVar("R")


class SharedDesk(Protocol):
    """Where shared values are read and written; differs inside and outside of agents."""

    def newest(self, key: str) -> SharedValue | None:
        """The newest version of a key; None where it is not there."""

    def history(self, key: str) -> list[SharedValue]:
        """All versions of a key, oldest first."""

    def at(self, version: int | None) -> list[SharedValue]:
        """All keys as they were at a version (None: now)."""

    def version(self) -> int:
        """The number of the newest change."""

    def set(self, key: str, value: Any, expected: int | None) -> int:
        """Give a key a value; only if it was set last in the version `expected`."""

    def delete(self, key: str, expected: int | None) -> int:
        """Take a key away, in the same way."""

    def roll_back(self, version: int) -> int:
        """Add what makes all keys as they were at a version."""


class Shared:
    """Values by key that a whole session shares. Every change is a version, and stays readable.

    Versions count the changes of the session from 1 on; that of a key is the one in which it was
    set last. In an agent each call is a step: run again, it answers what it answered before.
    """

    def __init__(self, desk: SharedDesk) -> None:
        self._desk = desk

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a key now."""
        found = self._desk.newest(key)
        return default if found is None else found.value

    def entry(self, key: str) -> SharedValue | None:
        """The value of a key now with its version; None where there is no such key."""
        return self._desk.newest(key)

    def all(self) -> dict[str, Any]:
        """All values now, by key."""
        return {one.key: one.value for one in self._desk.at(None)}

    def at(self, version: int) -> dict[str, Any]:
        """All values as they were once a version was reached; of version 0, none."""
        return {one.key: one.value for one in self._desk.at(version)}

    def history(self, key: str) -> list[SharedValue]:
        """Every version of a key, oldest first; in one where it was taken away, `is_deleted`."""
        return self._desk.history(key)

    def version(self) -> int:
        """The number of changes so far."""
        return self._desk.version()

    def set(self, key: str, value: Any, expected_version: int | None = None) -> int:
        """Give a key a value, a JSON value; answers the version this makes.

        With `expected_version` only if the key was set last in that version (0: if there is no
        such key), else `VersionConflict` is raised, which carries the version it is at.
        """
        return self._desk.set(key, value, expected_version)

    def delete(self, key: str, expected_version: int | None = None) -> int:
        """Take a key away; answers the version. Its history stays."""
        return self._desk.delete(key, expected_version)

    def update(self, key: str, change: Callable[[Any], Any], default: Any = None) -> Any:
        """Replace the value of a key by what `change` makes of it; answers the new value.

        If somebody else was faster, `change` is called again with their value: nobody's change
        is lost. It must do nothing but compute.
        """
        while True:
            found = self._desk.newest(key)
            value = change(default if found is None else found.value)
            try:
                self._desk.set(key, value, 0 if found is None else found.version)
            except VersionConflict:
                continue
            return value

    def rollback(self, version: int) -> int:
        """Make all values again what they were at a version; answers the version this makes.

        Nothing is taken from the history: what is needed is added to it.
        """
        return self._desk.roll_back(version)


class Do(Protocol):
    """How an `async def` agent has an operation done."""

    async def __call__(self, operation: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Do it, without holding up the loop."""


class AsyncShared:
    """The same for an `async def` agent: every call is awaited."""

    def __init__(self, shared: Shared, do: Do) -> None:
        self._shared, self._do = shared, do

    async def get(self, key: str, default: Any = None) -> Any:
        """See `Shared.get`."""
        return await self._do(self._shared.get, key, default)

    async def entry(self, key: str) -> SharedValue | None:
        """See `Shared.entry`."""
        return await self._do(self._shared.entry, key)

    async def all(self) -> dict[str, Any]:
        """See `Shared.all`."""
        return await self._do(self._shared.all)

    async def at(self, version: int) -> dict[str, Any]:
        """See `Shared.at`."""
        return await self._do(self._shared.at, version)

    async def history(self, key: str) -> list[SharedValue]:
        """See `Shared.history`."""
        return await self._do(self._shared.history, key)

    async def version(self) -> int:
        """See `Shared.version`."""
        return await self._do(self._shared.version)

    async def set(self, key: str, value: Any, expected_version: int | None = None) -> int:
        """See `Shared.set`."""
        return await self._do(self._shared.set, key, value, expected_version)

    async def delete(self, key: str, expected_version: int | None = None) -> int:
        """See `Shared.delete`."""
        return await self._do(self._shared.delete, key, expected_version)

    async def update(self, key: str, change: Callable[[Any], Any], default: Any = None) -> Any:
        """See `Shared.update`."""
        return await self._do(self._shared.update, key, change, default)

    async def rollback(self, version: int) -> int:
        """See `Shared.rollback`."""
        return await self._do(self._shared.rollback, version)
