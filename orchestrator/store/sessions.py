"""Sessions, and what their agents share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.domain.shared import SharedValue
from orchestrator.store.database import Database
from orchestrator.store.journal import NOWHERE, Recording
from orchestrator.store.statements import statement


@dataclass(frozen=True)
class ShareReply:
    """What became of a change of shared values."""

    #: `set`, `conflict`, `unknown` (no such version), `other_tenant`, or `fenced`
    outcome: str
    #: the session's after it; where it conflicts, that of the key
    version: int


class SharedTable:
    """The statements of `sql/sessions.sql`, with parameters in and values out."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def tenant(self, session: str) -> str | None:
        """Whose session it is; None while nobody has used it."""
        row = self._database.row(statement("tenant_of_session"), session=session)
        return None if row is None else str(row["tenant"])

    def set(
        self,
        session: str,
        tenant: str,
        key: str,
        value: str | None,
        expected: int | None,
        recording: Recording | None = None,
    ) -> ShareReply:
        """Give a key a value (JSON text), or take it away (None).

        `expected`: only if the key was set last in this version, 0 for not at all.
        """
        if value is not None:
            value = self._database.sealer.seal(tenant, session, value)
        values = {"key": key, "value": value, "expected": expected}
        return self._write("set_shared", session, tenant, values, recording)

    def roll_back(
        self, session: str, tenant: str, version: int, recording: Recording | None = None
    ) -> ShareReply:
        """Add what makes all keys as they were at a version."""
        return self._write("roll_back_shared", session, tenant, {"version": version}, recording)

    def version(self, session: str) -> int:
        """That of the newest change; 0 before the first."""
        row = self._database.row(statement("shared_version"), session=session)
        assert row is not None
        return int(row["version"])

    def newest(self, session: str, key: str) -> SharedValue | None:
        """The newest version of a key, which may be that it was taken away."""
        row = self._database.row(statement("shared_newest"), session=session, key=key)
        return None if row is None else _to_value(row)

    def history(self, session: str, key: str) -> list[SharedValue]:
        """All versions of a key, oldest first."""
        rows = self._database.rows(statement("shared_history"), session=session, key=key)
        return [_to_value(row) for row in rows]

    def at(self, session: str, version: int | None) -> list[SharedValue]:
        """All keys as they were at a version (None: now), by name."""
        rows = self._database.rows(statement("shared_at"), session=session, version=version)
        return [_to_value(row) for row in rows]

    def _write(
        self,
        name: str,
        session: str,
        tenant: str,
        values: dict[str, Any],
        recording: Recording | None,
    ) -> ShareReply:
        where = NOWHERE if recording is None else recording.to_parameters(self._database.sealer)
        writer = None if recording is None else recording.instance_id
        row = self._database.row(
            statement(name), session=session, tenant=tenant, writer=writer, **values, **where
        )
        assert row is not None
        return ShareReply(row["outcome"], row["version"] or 0)


def _to_value(row: Mapping[str, Any]) -> SharedValue:
    return SharedValue(
        key=row["key"],
        version=row["version"],
        value=row["value"],
        is_deleted=row["is_deleted"],
        set_by=None if row["set_by"] is None else str(row["set_by"]),
        set_at=row["set_at"],
    )
