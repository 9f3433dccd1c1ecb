"""The limits that operators have set: rows that are only ever added."""

from __future__ import annotations

from typing import Any

from orchestrator.domain.limits import RecordedLimit, RecordedLimits
from orchestrator.domain.scope import Scope, parse_scope
from orchestrator.store.database import Database
from orchestrator.store.statements import statement


class LimitTable:
    """The table `limits`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, scope: Scope, value: float | None, set_by: str) -> int:
        """Add a limit, or with None that the settings hold again; answers its version."""
        values = {"scope": str(scope), "value": value, "set_by": set_by}
        with self._database.transaction() as connection:
            connection.execute(statement("lock_limits"))
            row = connection.execute(statement("set_limit"), values).fetchone()
        assert row is not None
        return int(row["version"])

    def pause(self, scope: Scope, paused: bool, set_by: str) -> bool:
        """Pause a scope or resume it, beside what is set for it; False where it was so before."""
        values = {"scope": str(scope), "paused": paused, "set_by": set_by}
        with self._database.transaction() as connection:
            connection.execute(statement("lock_limits"))
            return connection.execute(statement("pause_scope"), values).fetchone() is not None

    def newest(self) -> RecordedLimits:
        """What operators have said last of each scope."""
        rows = self._database.rows(statement("limits"))
        return RecordedLimits(tuple(_to_limit(row) for row in rows))

    def version(self) -> int:
        """The number of the newest change; 0 when nothing was ever set."""
        row = self._database.row(statement("limits_version"))
        assert row is not None
        return int(row["version"])


def _to_limit(row: dict[str, Any]) -> RecordedLimit:
    return RecordedLimit(
        scope=parse_scope(row["scope"]),
        value=row["value"],
        version=row["version"],
        set_by=row["set_by"],
        set_at=row["set_at"],
        paused=row["paused"],
    )
