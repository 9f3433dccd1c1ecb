"""shared: what the agents of a session share, read and changed by a service.

Agents do the same through their journal; see `agents/shared.py`.
"""

from __future__ import annotations

from typing import Any

from orchestrator.domain.errors import InvalidRequest, VersionConflict
from orchestrator.domain.shared import SharedValue
from orchestrator.engine.deps import Deps
from orchestrator.engine.messages import check_name, encode, session_of_another_tenant
from orchestrator.store.sessions import ShareReply


class SessionValues:
    """The shared values of one session of one tenant."""

    def __init__(self, deps: Deps, session: str, tenant: str) -> None:
        check_name("a session", session)
        check_name("a tenant", tenant)
        self._deps, self._table = deps, deps.store.shared
        self.session, self._tenant = session, tenant
        self._is_ours = False

    def newest(self, key: str) -> SharedValue | None:
        """The newest version of a key; None where it is not there."""
        self._check()
        found = self._table.newest(self.session, key)
        return None if found is None or found.is_deleted else found

    def history(self, key: str) -> list[SharedValue]:
        """All versions of a key, oldest first."""
        self._check()
        return self._table.history(self.session, key)

    def at(self, version: int | None) -> list[SharedValue]:
        """All keys as they were at a version (None: now)."""
        self._check()
        if version is not None:
            newest = self._table.version(self.session)
            if not 0 <= version <= newest:
                raise no_version(self.session, version, newest)
        return self._table.at(self.session, version)

    def version(self) -> int:
        """The number of the newest change."""
        self._check()
        return self._table.version(self.session)

    def set(self, key: str, value: Any, expected: int | None) -> int:
        """Give a key a value; only if it was set last in the version `expected`."""
        check_name("a key", key)
        return self._write(key, encode(self._deps, value, "value"), expected)

    def delete(self, key: str, expected: int | None) -> int:
        """Take a key away, in the same way."""
        return self._write(key, None, expected)

    def roll_back(self, version: int) -> int:
        """Add what makes all keys as they were at a version."""
        reply = self._table.roll_back(self.session, self._tenant, version)
        return judge(self.session, self._tenant, "", version, reply)

    def _write(self, key: str, text: str | None, expected: int | None) -> int:
        reply = self._table.set(self.session, self._tenant, key, text, expected)
        return judge(self.session, self._tenant, key, expected, reply)

    def _check(self) -> None:
        """Refuse a session of another tenant. Whose one is never changes."""
        if not self._is_ours:
            tenant = self._table.tenant(self.session)
            if tenant is not None and tenant != self._tenant:
                raise session_of_another_tenant(self.session, self._tenant)
            self._is_ours = tenant is not None


def judge(session: str, tenant: str, key: str, expected: int | None, reply: ShareReply) -> int:
    """The version after a change, or why there was none."""
    match reply.outcome:
        case "conflict":
            raise VersionConflict(session, key, expected or 0, reply.version)
        case "other_tenant":
            raise session_of_another_tenant(session, tenant)
        case "unknown":
            raise no_version(session, expected or 0, reply.version)
    return reply.version


def no_version(session: str, version: int, newest: int) -> InvalidRequest:
    """The refusal of a version that a session was never at."""
    return InvalidRequest(
        "INVALID_VERSION",
        f"The session {session!r} was never at version {version}; it is at {newest}. Choose one "
        "from 0 to that.",
    )
