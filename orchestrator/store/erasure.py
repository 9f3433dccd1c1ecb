"""Taking payloads away for good."""

from __future__ import annotations

import json
from typing import Any

from psycopg.types.json import Json

from orchestrator.domain.payload import ERASED
from orchestrator.store.database import Database
from orchestrator.store.statements import statement

#: What overwrites, in this order.
_STATEMENTS = (
    "erase_keys",
    "note_erasure",
    "erase_steps",
    "erase_checkpoints",
    "erase_messages",
    "erase_shared",
    "erase_instances",
)


class Erasure:
    """The statements of `sql/keys.sql` that erase."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def live(self, tenant: str, session: str | None) -> int:
        """How many instances there have not ended."""
        row = self._database.row(statement("live_in"), tenant=tenant, session=session)
        assert row is not None
        return int(row["live"])

    def erase(self, tenant: str, session: str | None, detail: dict[str, Any]) -> dict[str, int]:
        """Destroy the keys of a session, or of all of a tenant, and overwrite the payloads.

        In one transaction, with an event for each session. Answers how many rows of what.
        """
        values = {
            "tenant": tenant,
            "session": session,
            "erased": json.dumps(ERASED),
            "detail": Json(detail),
        }
        with self._database.transaction() as connection:
            # A tenant may be large.
            connection.execute("SET LOCAL statement_timeout = 0")
            return {
                name.partition("_")[2]: connection.execute(statement(name), values).rowcount
                for name in _STATEMENTS
            }
