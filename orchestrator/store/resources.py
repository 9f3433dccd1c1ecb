"""Declared resources and the ledger of their calls."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from psycopg.types.json import Jsonb

from orchestrator.domain.call import Amounts, CallRecord, Outcome
from orchestrator.domain.resource import Resource
from orchestrator.store.database import Database
from orchestrator.store.statements import statement


@dataclass(frozen=True)
class RecordedResource:
    """A resource, and what operators have decided of its breakers."""

    resource: Resource
    #: tenant, or '' for all -> `open` or `closed`
    forced: Mapping[str, str]


class ResourceTable:
    """The tables `resources` and `calls`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def save(self, resources: Iterable[Resource]) -> None:
        """Record how much of each may be used."""
        with self._database.transaction() as connection:
            for one in sorted(resources, key=lambda one: one.name):
                values = {"name": one.name, "spec": Jsonb(one.to_dict())}
                connection.execute(statement("save_resource"), values)

    def all(self) -> list[RecordedResource]:
        """All that were ever declared or forced, by name."""
        return [
            RecordedResource(Resource.from_dict(row["name"], row["spec"]), row["forced"])
            for row in self._database.rows(statement("resources"))
        ]

    def force(self, name: str, tenant: str | None, mode: str) -> None:
        """Record what an operator has decided of a breaker: `open`, `closed` or `auto`."""
        verb = "free_breaker" if mode == "auto" else "force_breaker"
        values = {"name": name, "tenant": tenant or "", "mode": mode}
        with self._database.connection() as connection:
            connection.execute(statement(verb), values)

    def record_call(self, record: CallRecord) -> None:
        """Add a call to the ledger, once."""
        values = asdict(record)
        values |= values.pop("amounts")
        with self._database.connection() as connection:
            connection.execute(statement("record_call"), values)

    def calls_of(self, instance_id: str) -> list[CallRecord]:
        """The finished calls of an instance, oldest first."""
        rows = self._database.rows(statement("calls_of"), instance_id=instance_id)
        return [_to_record(row) for row in rows]

    def has_history(self) -> bool:
        """Whether anything was ever spawned or called here."""
        row = self._database.row(statement("has_history"))
        assert row is not None
        return bool(row["found"])


def _to_record(row: dict[str, Any]) -> CallRecord:
    amounts = Amounts(row["requests"], row["input_tokens"], row["output_tokens"], row["usd"])
    return CallRecord(
        id=str(row["id"]),
        resource=row["resource"],
        tenant=row["tenant"],
        outcome=Outcome(row["outcome"]),
        amounts=amounts,
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        session=row["session"],
        instance_id=None if row["instance_id"] is None else str(row["instance_id"]),
        attempt=row["attempt"],
        agent=row["agent"],
        budget_id=row["budget_id"],
    )
