"""What PostgreSQL holds of budgets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg.types.json import Json

from orchestrator.domain.budget import Budget
from orchestrator.store.database import Database
from orchestrator.store.statements import statement


@dataclass(frozen=True)
class StoredAccount:
    """A budget that holds, and what rows say of it. Amounts are in the gate's units."""

    account: str
    session: str
    tenant: str
    #: id of its instance; None for that of a session
    owner: str | None
    #: the depth of its owner; 0 for a session
    base: int
    budget: Budget
    version: int
    exhausted: str | None
    #: the accounts above it, nearest first
    above: tuple[str, ...]
    #: what the session's account is called, whether or not there is one
    session_account: str
    #: quantity -> settled amount, and the percent that was told of
    used: Mapping[str, int]
    told: Mapping[str, int]
    #: live instances below it: `=id` right under it, `-id` further below
    live: tuple[str, ...]


class BudgetRows:
    """The statements of `sql/budgets.sql`, with parameters in and values out."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def set(self, session: str, tenant: str, budget: Budget) -> int | None:
        """Give a session its budget; answers its version, or None if it is another tenant's."""
        spec = Json(budget.to_dict())
        row = self._database.row(statement("set_budget"), session=session, tenant=tenant, spec=spec)
        return None if row is None else int(row["version"])

    def sessions(self, after: str, limit: int) -> list[tuple[str, str]]:
        """Sessions in which some budget holds, and their tenants; those after this name."""
        rows = self._database.rows(statement("budgeted_sessions"), after=after, limit=limit)
        return [(row["session"], row["tenant"]) for row in rows]

    def versions(self, after: str, limit: int) -> list[tuple[str, str, int]]:
        """Session, tenant and version of the budgets of sessions after this name."""
        rows = self._database.rows(statement("budget_versions"), after=after, limit=limit)
        return [(row["session"], row["tenant"], row["version"]) for row in rows]

    def accounts(self, sessions: Sequence[str]) -> list[StoredAccount]:
        """All budgets that hold in these sessions at one moment, each after those above it."""
        rows = self._database.rows(statement("budget_accounts"), sessions=list(sessions))
        return [_to_account(row) for row in rows]

    def fail(self, ids: Sequence[str], message: str) -> list[str]:
        """End these as failed and all below them as cancelled; answers who was live until now."""
        error = Json({"type": "BudgetExceeded", "message": message})
        with self._database.transaction() as connection:
            values = {"ids": list(ids), "error": error}
            tops = connection.execute(statement("fail_for_budget"), values).fetchall()
            found = [str(row["id"]) for row in tops]
            below = connection.execute(statement("cancel_for_budget"), {"ids": found}).fetchall()
            return found + [str(row["id"]) for row in below]

    def live_roots(self, session: str, tenant: str, limit: int) -> list[str]:
        """Live roots of a session."""
        rows = self._database.rows(
            statement("live_roots"), session=session, tenant=tenant, limit=limit
        )
        return [str(row["id"]) for row in rows]

    def exhaust(self, session: str, tenant: str, quantity: str) -> None:
        """Remember that everything in a session was failed for want of this."""
        with self._database.connection() as connection:
            values = {"session": session, "tenant": tenant, "quantity": quantity}
            connection.execute(statement("exhaust_budget"), values)

    def first_of(self, session: str, tenant: str) -> str | None:
        """The oldest instance of a session."""
        row = self._database.row(statement("first_of_session"), session=session, tenant=tenant)
        return None if row is None else str(row["id"])

    def tell(self, alert: Mapping[str, Any], instance_id: str, detail: Mapping[str, Any]) -> bool:
        """Write the event of an alert, once whoever asks; False when there is no such instance."""
        key = {name: alert[name] for name in ("account", "version", "quantity", "percent")}
        with self._database.transaction() as connection:
            if connection.execute(statement("claim_alert"), key).fetchone() is None:
                return True
            event = {
                "id": instance_id,
                "kind": "budget_alert",
                "detail": Json(dict(detail)),
                "reason": None,
            }
            if connection.execute(statement("note"), event).fetchone() is None:
                connection.rollback()
                return False
            return True


def _to_account(row: dict[str, Any]) -> StoredAccount:
    return StoredAccount(
        account=row["account"],
        session=row["session"],
        tenant=row["tenant"],
        owner=None if row["owner"] is None else str(row["owner"]),
        base=row["base"],
        budget=Budget.from_dict(row["spec"]),
        version=row["version"],
        exhausted=row["exhausted"],
        above=tuple(row["above"]),
        session_account=row["session_account"],
        used=row["used"] or {},
        told=row["told"] or {},
        live=tuple(row["live"]),
    )
