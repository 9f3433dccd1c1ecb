"""What the engine asks of PostgreSQL: one method a question or change, no decisions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, cast

import sqlalchemy
from psycopg.types.json import Json, Jsonb
from sqlalchemy import exc as sa_exc

from orchestrator.domain.instance import AgentSpec, Event, Instance, NewInstance
from orchestrator.domain.journal import Rewind
from orchestrator.domain.lifecycle import Reason, State
from orchestrator.domain.retry import RetryBudget
from orchestrator.store.audit import AuditTrail
from orchestrator.store.budgets import BudgetRows
from orchestrator.store.control import ControlRows, RetriesUsedUp, take_retry
from orchestrator.store.credits import CreditTable
from orchestrator.store.database import Connection, Database
from orchestrator.store.erasure import Erasure
from orchestrator.store.faults import callers_fault, tenant_guard
from orchestrator.store.housekeeping import HousekeepingTable
from orchestrator.store.journal import JournalTable, take_back
from orchestrator.store.limits import LimitTable
from orchestrator.store.messages import MessageTable
from orchestrator.store.recording import record_name, record_values
from orchestrator.store.resources import ResourceTable
from orchestrator.store.rows import from_spec, to_event, to_instance, to_spec
from orchestrator.store.sessions import SharedTable
from orchestrator.store.statements import statement

#: A connection of a caller, with a transaction of its own open.
CallersConnection = sqlalchemy.Connection

#: The channel on which a spawn in a caller's transaction is announced by its commit.
SPAWNED = "orchestrator_spawned"

#: Sorts before every id: where a walk in pages begins.
BEFORE_ALL = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True)
class Standing:
    """As little of an instance as one needs who waits for it or was fenced out."""

    state: State
    attempt: int
    #: whether it is kept from running
    is_paused: bool = False
    #: whether the attempt, if it runs, is to go back in line
    yields: bool = False


@dataclass(frozen=True)
class Ending:
    """How an attempt ended for good."""

    state: State
    reason: str | None = None
    #: the result as JSON text
    result: str | None = None
    error: dict[str, Any] | None = None
    #: whether the attempt counts as a failed one
    failed: bool = False


class Store:
    """The statements of `sql/`, with parameters in and values out."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.limits = LimitTable(database)
        self.credits = CreditTable(database)
        self.budgets = BudgetRows(database)
        self.resources = ResourceTable(database)
        self.journal = JournalTable(database)
        self.control = ControlRows(database)
        self.messages = MessageTable(database)
        self.shared = SharedTable(database)
        self.housekeeping = HousekeepingTable(database)
        self.audit = AuditTrail(database)
        self.erasure = Erasure(database)

    def close(self) -> None:
        """Give the connections back."""
        self.database.close()

    # --- record ---------------------------------------------------------------------------

    def record(self, new: NewInstance) -> bool:
        """Write the row of a spawn: from here on it is accepted.

        False means that nothing was written: the idempotency key or the position is taken, or
        the parent has ended.
        """
        with self.database.connection() as connection, tenant_guard(new):
            row = connection.execute(statement(record_name(new)), self._values(new)).fetchone()
        return row is not None

    def record_many(
        self, news: Sequence[NewInstance], earlier: Callable[[NewInstance, Instance | None], str]
    ) -> dict[str, str]:
        """Write several rows in one transaction: all of them or, if `earlier` raises, none.

        `earlier` is asked for the id that stands for a spawn that could not be written, given
        the instance that is in its way. Answers the id that stands for each spawn's own.
        """
        with self.database.transaction() as connection, tenant_guard(*news):
            with connection.pipeline():
                cursors = [
                    connection.execute(statement(record_name(new)), self._values(new))
                    for new in news
                ]
                recorded = [cursor.fetchone() is not None for cursor in cursors]
            return {
                new.id: new.id if made else earlier(new, _find_earlier(connection, new))
                for new, made in zip(news, recorded, strict=True)
            }

    def record_within(self, connection: CallersConnection, new: NewInstance) -> bool:
        """Write the row inside the caller's own open transaction."""
        values = self._values(new)
        try:
            recorded = connection.exec_driver_sql(statement(record_name(new)), values).first()
        except sa_exc.DBAPIError as error:
            raise callers_fault(new, error) from error
        if recorded is not None:
            announcement = {"channel": SPAWNED, "id": new.id}
            connection.exec_driver_sql(statement("announce"), announcement)
        return recorded is not None

    def _values(self, new: NewInstance) -> dict[str, Any]:
        return record_values(new, self.database.sealer)

    def _error(self, instance_id: str, error: Mapping[str, Any] | None) -> Json | None:
        return None if error is None else Json(self.database.sealer.seal_error(instance_id, error))

    # --- an attempt -----------------------------------------------------------------------

    def begin(self, instance_id: str, attempt: int, worker: str) -> Instance | None:
        """Fenced start of an attempt; None when another got it or it is not wanted any more."""
        row = self.database.row(statement("begin"), id=instance_id, attempt=attempt, worker=worker)
        if row is None:
            return None
        self.database.sealer.learn(instance_id, row["tenant"], row["session"])
        return replace(to_instance(row), clock=row["clock"])

    def settle(self, instance_id: str, attempt: int, ending: Ending) -> list[str] | None:
        """Fenced end of an instance, together with all its live descendants.

        Answers the ids of the descendants that ended with it, or None when the attempt has
        been fenced out.
        """
        sealer = self.database.sealer
        row = self.database.row(
            statement("settle"),
            id=instance_id,
            attempt=attempt,
            state=ending.state,
            reason=ending.reason,
            result=None if ending.result is None else sealer.seal_of(instance_id, ending.result),
            error=self._error(instance_id, ending.error),
            failed=int(ending.failed),
        )
        assert row is not None
        return None if row["below"] is None else [str(one) for one in row["below"]]

    def hand_back(
        self,
        instance_id: str,
        attempt: int,
        reason: str,
        *,
        error: dict[str, Any] | None = None,
        failed: bool = False,
        delay: float = 0.0,
        rewind: Rewind | None = None,
        retries: RetryBudget | None = None,
    ) -> list[str] | None:
        """Fenced return of an attempt to the queue, to be begun again after `delay` seconds.

        Answers the ids of what ended with the part of the journal that is taken back, or None
        when the attempt has been fenced out. Raises `RetriesUsedUp` when `retries` are given and
        the session has had them; then nothing is changed.
        """
        values = {
            "id": instance_id,
            "attempt": attempt,
            "reason": reason,
            "error": self._error(instance_id, error),
            "failed": int(failed),
            "delay": delay,
        }
        with self.database.transaction() as connection:
            if retries is None or take_retry(connection, instance_id, attempt, retries):
                if connection.execute(statement("hand_back"), values).fetchone() is None:
                    return None
                return [] if rewind is None else take_back(connection, instance_id, rewind)
        raise RetriesUsedUp

    def park(self, instance_id: str, attempt: int, reason: Reason | None = None) -> bool:
        """running -> waiting while a thread stays with it, fenced.

        The reason is `WAITING_FOR_CHILDREN` unless another is given.
        """
        why = reason or Reason.WAITING_FOR_CHILDREN
        row = self.database.row(statement("park"), id=instance_id, attempt=attempt, why=why)
        return row is not None

    def resume(self, instance_id: str, attempt: int) -> bool:
        """waiting -> queued, fenced."""
        row = self.database.row(statement("resume"), id=instance_id, attempt=attempt)
        return row is not None

    def expire(self, instance_id: str, attempt: int) -> tuple[Instance, list[str]] | None:
        """What follows when the lease of an attempt ran out: another attempt, or failure.

        Answers the instance as it is now and the descendants that ended with it, or None when
        it has ended, does not exist, or has a newer attempt.
        """
        with self.database.transaction() as connection:
            row = connection.execute(
                statement("expire"), {"id": instance_id, "attempt": attempt}
            ).fetchone()
            if row is None:
                return None
            instance = to_instance(row)
            if not instance.state.is_terminal:
                return instance, []
            below = connection.execute(statement("end_below"), {"ids": [instance_id]})
            return instance, [str(row["id"]) for row in below]

    def end_waiting(self, instance_id: str, error: Mapping[str, Any]) -> bool:
        """Fail an instance that waited too long in line; False when it does not wait any more."""
        return bool(self.database.row(statement("end_waiting"), id=instance_id, error=Json(error)))

    def cancel(self, ids: Sequence[str], reason: str, below: str) -> list[str]:
        """End these and all their live descendants, in one transaction.

        `reason` is recorded for the named ones, `below` for the descendants. Answers the ids
        that were live until now.
        """
        row = self.database.row(statement("cancel"), ids=list(ids), reason=reason, below=below)
        assert row is not None
        return [str(one) for one in row["ended"]]

    def note(
        self,
        instance_id: str,
        kind: str,
        detail: Mapping[str, Any],
        reason: str | None = None,
    ) -> bool:
        """Add an event that is no change of state; False when there is no such instance."""
        row = self.database.row(
            statement("note"), id=instance_id, kind=kind, detail=Json(dict(detail)), reason=reason
        )
        return row is not None

    # --- reading --------------------------------------------------------------------------

    def get(self, instance_id: str) -> Instance | None:
        """The instance with this id."""
        row = self.database.row(statement("get"), id=instance_id)
        return None if row is None else to_instance(row)

    def get_many(self, ids: Sequence[str]) -> dict[str, Instance]:
        """Those of the ids that exist."""
        rows = self.database.rows(statement("get_many"), ids=list(ids))
        return {str(row["id"]): to_instance(row) for row in rows}

    def standings(self, ids: Sequence[str]) -> dict[str, Standing]:
        """State and attempt of those of the ids that exist."""
        rows = self.database.rows(statement("standing"), ids=list(ids))
        return {
            str(row["id"]): Standing(
                State(row["state"]), row["attempt"], row["is_paused"], row["yields"]
            )
            for row in rows
        }

    def oldest_ready(self) -> dict[str, float]:
        """By pool, for how many seconds one has been ready to begin for the first time."""
        rows = self.database.rows(statement("oldest_ready"))
        return {row["pool"]: row["seconds"] for row in rows}

    def find_earlier(self, new: NewInstance) -> Instance | None:
        """The instance whose idempotency key or position a spawn has asked for again."""
        with self.database.connection() as connection:
            return _find_earlier(connection, new)

    def list(
        self,
        *,
        session: str | None = None,
        tenant: str | None = None,
        state: str | None = None,
        agent: str | None = None,
        limit: int = 100,
    ) -> list[Instance]:
        """The newest instances that match all given filters, newest first."""
        rows = self.database.rows(
            statement("list"),
            session=session,
            tenant=tenant,
            state=state,
            agent=agent,
            limit=limit,
        )
        return [to_instance(row) for row in rows]

    def session_members(self, session: str) -> Sequence[Instance]:
        """All instances of a session, oldest first."""
        rows = self.database.rows(statement("session_members"), session=session)
        return [to_instance(row) for row in rows]

    def subtree(self, instance_id: str) -> Sequence[Instance]:
        """An instance and all its descendants, oldest first."""
        rows = self.database.rows(statement("subtree"), id=instance_id)
        return [to_instance(row) for row in rows]

    def events(self, instance_id: str) -> Sequence[Event]:
        """The audit trail of an instance, oldest first."""
        return [to_event(row) for row in self.database.rows(statement("events"), id=instance_id)]

    def notes(self, kind: str, limit: int) -> Sequence[Event]:
        """The newest events of a kind that are no change of state, newest first."""
        return list(map(to_event, self.database.rows(statement("notes"), kind=kind, limit=limit)))

    def live_page(self, after: str, limit: int) -> Sequence[Instance]:
        """Up to `limit` live instances with ids after `after`, in the order of ids."""
        rows = self.database.rows(statement("live_page"), after=after, limit=limit)
        return [to_instance(row) for row in rows]

    def orphans(self, limit: int) -> Sequence[str]:
        """Live instances whose parent has ended."""
        return [str(row["id"]) for row in self.database.rows(statement("orphans"), limit=limit)]

    def count_by_state(self, session: str | None = None) -> dict[State, int]:
        """How many instances are in each state."""
        rows = self.database.rows(statement("count_by_state"), session=session)
        return {State(row["state"]): row["instances"] for row in rows}

    # --- agents and the server ------------------------------------------------------------

    def save_agents(self, specs: Iterable[AgentSpec]) -> None:
        """Record what a worker can run, so that services can check their spawns."""
        with self.database.transaction() as connection:
            for spec in sorted(specs, key=lambda spec: spec.name):
                values = {"name": spec.name, "spec": Jsonb(from_spec(spec))}
                connection.execute(statement("save_agent"), values)

    def agents(self) -> dict[str, AgentSpec]:
        """The recorded agents by name."""
        return {row["name"]: to_spec(row) for row in self.database.rows(statement("agents"))}

    def clock(self) -> datetime:
        """The server's time."""
        row = self.database.row(statement("clock"))
        assert row is not None
        return cast(datetime, row["now"])

    def server(self) -> dict[str, str]:
        """Version and durability settings of the server."""
        return dict(self.database.row(statement("server")) or {})


def _find_earlier(connection: Connection, new: NewInstance) -> Instance | None:
    row = None
    if new.parent is not None:
        place = {"parent_id": new.parent.id, "position": new.parent.position}
        row = connection.execute(statement("find_by_position"), place).fetchone()
    if row is None and new.idempotency_key is not None:
        key = {"tenant": new.tenant, "idempotency_key": new.idempotency_key}
        row = connection.execute(statement("find_by_key"), key).fetchone()
    return None if row is None else to_instance(row)
