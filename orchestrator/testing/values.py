"""What sessions share in a harness; see `store/sessions.py`, whose place this takes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from orchestrator.agents.operations import decoded
from orchestrator.domain.shared import SharedValue
from orchestrator.store.journal import Recording
from orchestrator.store.sessions import ShareReply

if TYPE_CHECKING:
    from orchestrator.testing.world import World


class SharedValues:
    """Every version of every value, by session."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._all: dict[str, list[SharedValue]] = {}

    def tenant(self, session: str) -> str | None:
        """Whose session it is."""
        rows = self._world.rows.values()
        return next((one.instance.tenant for one in rows if one.instance.session == session), None)

    def version(self, session: str) -> int:
        """That of the newest change; 0 before the first."""
        return len(self._all.get(session, ()))

    def newest(self, session: str, key: str) -> SharedValue | None:
        """The newest version of a key, which may be that it was taken away."""
        return self._at(session, None).get(key)

    def history(self, session: str, key: str) -> list[SharedValue]:
        """All versions of a key, oldest first."""
        return [one for one in self._all.get(session, ()) if one.key == key]

    def at(self, session: str, version: int | None) -> list[SharedValue]:
        """All keys as they were at a version (None: now), by name."""
        found = self._at(session, version)
        return [found[key] for key in sorted(found) if not found[key].is_deleted]

    def set(
        self,
        session: str,
        _tenant: str,
        key: str,
        value: str | None,
        expected: int | None,
        recording: Recording | None = None,
    ) -> ShareReply:
        """Give a key a value (JSON text), or take it away (None)."""
        found = self._at(session, None).get(key)
        before = 0 if found is None or found.is_deleted else found.version
        if expected is not None and expected != before:
            return self._noted("conflict", before, recording)
        if value is not None or before:
            self._add(session, key, value is None, decoded(value or "null"), recording)
        return self._noted("set", self.version(session), recording)

    def roll_back(
        self, session: str, _tenant: str, version: int, recording: Recording | None = None
    ) -> ShareReply:
        """Add what makes all keys as they were at a version."""
        newest = self.version(session)
        if not 0 <= version <= newest:
            return self._noted("unknown", newest, recording)
        before, now = self._at(session, version), self._at(session, None)
        for key in sorted(now):
            then = before.get(key)
            gone, value = (True, None) if then is None else (then.is_deleted, then.value)
            if (gone, value) != (now[key].is_deleted, now[key].value):
                self._add(session, key, gone, value, recording)
        return self._noted("set", self.version(session), recording)

    def _at(self, session: str, version: int | None) -> dict[str, SharedValue]:
        return {one.key: one for one in self._all.get(session, [])[:version]}

    def _add(
        self, session: str, key: str, is_deleted: bool, value: Any, recording: Recording | None
    ) -> None:
        writer = recording.instance_id if recording else None
        version, now = self.version(session) + 1, self._world.now
        new = SharedValue(key, version, None if is_deleted else value, is_deleted, writer, now)
        self._all.setdefault(session, []).append(new)

    def _noted(self, outcome: str, version: int, recording: Recording | None) -> ShareReply:
        if recording is not None:
            done = replace(recording.operation, value={"outcome": outcome, "version": version})
            self._world.row(recording.instance_id).write([*recording.others, done])
        return ShareReply(outcome, version)
