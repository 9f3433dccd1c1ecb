"""What operators do to instances, and what agents tell of their progress."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from psycopg.types.json import Json

from orchestrator.domain.instance import Instance, NewInstance
from orchestrator.domain.lifecycle import State
from orchestrator.domain.progress import Progress
from orchestrator.domain.retry import RetryBudget
from orchestrator.domain.scope import Scope
from orchestrator.store.database import Connection, Database
from orchestrator.store.faults import tenant_guard
from orchestrator.store.recording import record_values
from orchestrator.store.rows import to_instance
from orchestrator.store.statements import statement


class RetriesUsedUp(Exception):
    """A session has tried again as often as it may."""


@dataclass(frozen=True)
class Member:
    """One instance of a subtree, as a cancellation left it."""

    id: str
    parent_id: str | None
    agent: str
    state: State
    #: the state that it was cancelled in; None for what was not cancelled
    before: State | None


@dataclass(frozen=True)
class Inheritance:
    """What an instance takes over from one that ended: its journal up to a position."""

    old: str
    position: int
    #: children that are not taken over
    without: tuple[str, ...] = ()


#: What an instance takes over from the one whose work it does again.
INHERITED = (
    "inherit_history",
    "inherit_journal",
    "inherit_checkpoint",
    "inherit_deliveries",
    "end_deliveries",
    "inherit_subscriptions",
)


class ControlRows:
    """The statements of `sql/control.sql`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # --- pause --------------------------------------------------------------------------

    def pause(self, instance_id: str, by: str) -> bool:
        """Keep an instance from running, with an event; False if it was, or has ended."""
        detail = Json({"by": by})
        return bool(self._database.row(statement("pause_instance"), id=instance_id, detail=detail))

    def resume(self, instance_id: str, by: str) -> bool:
        """Let it run again, with an event; False if it may, or has ended."""
        detail = Json({"by": by})
        return bool(self._database.row(statement("resume_instance"), id=instance_id, detail=detail))

    def ask_to_yield(self, scope: Scope) -> list[str]:
        """Ask what runs in a scope to go back in line; answers the ids."""
        wanted = dict.fromkeys(("session", "tenant", "agent", "pool"))
        if scope.name:
            wanted[scope.kind] = scope.name
        if scope.tenant:
            wanted["tenant"] = scope.tenant
        rows = self._database.rows(statement("ask_to_yield"), **wanted)
        return [str(row["id"]) for row in rows]

    def paused_among(self, ids: Sequence[str]) -> set[str]:
        """Those of the ids that are live and paused."""
        rows = self._database.rows(statement("paused_among"), ids=list(ids))
        return {str(row["id"]) for row in rows}

    def tenant_of(self, session: str) -> str | None:
        """Whose session it is; None when there is none of this name."""
        row = self._database.row(statement("tenant_of_session"), session=session)
        return None if row is None else str(row["tenant"])

    # --- cancel -------------------------------------------------------------------------

    def cancelled_tree(self, instance_id: str) -> list[Member]:
        """An instance and all below it, oldest first, as it is after a cancellation."""
        rows = self._database.rows(statement("cancelled_tree"), id=instance_id)
        return [
            Member(
                id=str(row["id"]),
                parent_id=None if row["parent_id"] is None else str(row["parent_id"]),
                agent=row["agent"],
                state=State(row["state"]),
                before=None if row["before"] is None else State(row["before"]),
            )
            for row in rows
        ]

    def stops(self, ids: Sequence[str]) -> dict[str, str]:
        """How the attempts of those that were told to stop have left, as far as it is known."""
        rows = self._database.rows(statement("stops"), ids=list(ids))
        return {str(row["instance_id"]): row["how"] for row in rows}

    # --- progress -----------------------------------------------------------------------

    def write_progress(self, told: Sequence[tuple[str, Progress]]) -> None:
        """Write what running attempts have told; of others, nothing."""
        with self._database.connection() as connection:
            values = {
                "ids": [one for one, _ in told],
                "attempts": [progress.attempt for _, progress in told],
                "told": [Json(self._sealed(one, progress)) for one, progress in told],
            }
            connection.execute(statement("write_progress"), values)

    def _sealed(self, instance_id: str, progress: Progress) -> dict[str, Any]:
        told = progress.to_dict()
        if told.get("message"):
            text = json.dumps(told["message"])
            told["message"] = json.loads(self._database.sealer.seal_of(instance_id, text))
        return told

    # --- run again ----------------------------------------------------------------------

    def dead(
        self, session: str | None, tenant: str | None, agent: str | None, limit: int
    ) -> list[Instance]:
        """The newest that have failed and that nobody runs again, newest first."""
        rows = self._database.rows(
            statement("dead"), session=session, tenant=tenant, agent=agent, limit=limit
        )
        return [to_instance(row) for row in rows]

    def live_retry(self, origin: str) -> Instance | None:
        """The live instance that does the work of an ended one again."""
        row = self._database.row(statement("live_retry"), origin=origin)
        return None if row is None else to_instance(row)

    def record_again(self, new: NewInstance, from_: Inheritance) -> bool:
        """Write the row of an instance that takes over what an ended one has done.

        False when another one that does is live.
        """
        values = {
            "id": new.id,
            "old": from_.old,
            "position": from_.position,
            "without": list(from_.without),
        }
        with self._database.transaction() as connection, tenant_guard(new):
            row = record_values(new, self._database.sealer)
            made = connection.execute(statement("record_root"), row).fetchone()
            if made is not None:
                for name in INHERITED:
                    connection.execute(statement(name), values)
            return made is not None


def take_retry(connection: Connection, instance_id: str, attempt: int, budget: RetryBudget) -> bool:
    """Whether the session of an instance may try once more; asked first in a transaction."""
    values = {
        "id": instance_id,
        "attempt": attempt,
        "ratio": budget.ratio,
        "floor": budget.floor,
    }
    row = connection.execute(statement("take_retry"), values).fetchone()
    return row is None or bool(row["allowed"])
