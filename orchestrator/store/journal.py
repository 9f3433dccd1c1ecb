"""The journals of instances, and what they are suspended for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from orchestrator.domain.journal import SPAWN, Entry, Rewind
from orchestrator.domain.lifecycle import Reason, State
from orchestrator.domain.waits import Wait
from orchestrator.store.database import Connection, Database
from orchestrator.store.sealer import Plain, Sealer
from orchestrator.store.statements import statement


@dataclass(frozen=True)
class Checkpoint:
    """What an agent keeps for itself beside its journal."""

    version: int
    value: dict[str, Any]


@dataclass(frozen=True)
class Suspension:
    """What became of an attempt that was to wait."""

    #: whether there is nothing to wait for any more
    is_over: bool
    #: those of its targets that have ended
    ended: list[str]


@dataclass(frozen=True)
class Recording:
    """An operation of a running attempt, whose journal learns of it in the same transaction."""

    instance_id: str
    attempt: int
    #: the operation; what it comes to is filled in where it is written
    operation: Entry
    #: operations before it that the journal has not been told of yet
    others: Sequence[Entry] = ()

    def to_parameters(self, sealer: Sealer) -> dict[str, Any]:
        """As statements take it."""
        return {
            "attempt": self.attempt,
            "operation": _sealed(self.operation, self.instance_id, sealer).to_json(),
            "others": _text(self.others, self.instance_id, sealer) if self.others else None,
        }


#: The same where a service does it, which has no journal.
NOWHERE: dict[str, Any] = {"attempt": None, "operation": None, "others": None}


class JournalTable:
    """What stands in `steps` and `checkpoints`, and the changes of state that go with it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def load(self, instance_id: str) -> list[Entry]:
        """All that the instance has done so far, by position."""
        return [
            Entry(row["position"], row["kind"], row["name"], row["value"], row["error"])
            for row in self._database.rows(statement("journal"), id=instance_id)
        ]

    def write(self, instance_id: str, attempt: int, entries: Sequence[Entry]) -> bool:
        """Add to a journal, replacing what stands at the same positions; False when fenced out."""
        found = self._database.row(
            statement("write_steps"),
            id=instance_id,
            attempt=attempt,
            entries=self._text(instance_id, entries),
        )
        return found is not None

    def suspend(
        self, instance_id: str, attempt: int, reason: Reason, wait: Wait, entries: Sequence[Entry]
    ) -> Suspension | None:
        """running -> waiting, fenced; `queued` at once where the wait is over already.

        None when the attempt has been fenced out.
        """
        row = self._database.row(
            statement("suspend"),
            id=instance_id,
            attempt=attempt,
            why=reason,
            wait=json.dumps(wait.to_dict()),
            entries=self._text(instance_id, entries) if entries else None,
        )
        assert row is not None
        if row["new_state"] is None:
            return None
        return Suspension(row["new_state"] == State.QUEUED, [str(one) for one in row["ended"]])

    def ready(self, ids: Sequence[str]) -> list[str]:
        """Those of the ids that wait for nothing any more."""
        return [str(row["id"]) for row in self._database.rows(statement("ready"), ids=list(ids))]

    def begin_anew(self, instance_id: str, attempt: int, args: str) -> list[str] | None:
        """running -> queued with other arguments (JSON text) and an empty journal, fenced.

        Answers what was live below and ended with it; None when fenced out.
        """
        with self._database.transaction() as connection:
            args = self._database.sealer.seal_of(instance_id, args)
            values = {"id": instance_id, "attempt": attempt, "args": args}
            if connection.execute(statement("begin_anew"), values).fetchone() is None:
                return None
            return take_back(connection, instance_id, Rewind(0))

    def checkpoint(self, instance_id: str) -> Checkpoint:
        """What the agent has kept; nothing, as version 0, before it has kept anything."""
        row = self._database.row(statement("checkpoint"), id=instance_id)
        return Checkpoint(0, {}) if row is None else Checkpoint(row["version"], row["value"])

    def write_checkpoint(self, instance_id: str, attempt: int, value: str) -> int | None:
        """Keep this (JSON text of an object) instead; its version, None when fenced out."""
        row = self._database.row(
            statement("write_checkpoint"),
            id=instance_id,
            attempt=attempt,
            value=self._database.sealer.seal_of(instance_id, value),
        )
        return None if row is None else int(row["version"])

    def _text(self, instance_id: str, entries: Sequence[Entry]) -> str:
        return _text(entries, instance_id, self._database.sealer)


def take_back(connection: Connection, instance_id: str, rewind: Rewind) -> list[str]:
    """Take back a part of a journal; answers the ids of what ended with it."""
    values = {
        "id": instance_id,
        "position": rewind.position,
        "children": list(rewind.children),
    }
    row = connection.execute(statement("rewind"), values).fetchone()
    assert row is not None
    return [str(one) for one in row["ended"]]


def _text(entries: Sequence[Entry], instance_id: str, sealer: Sealer) -> str:
    """Entries as the JSON that the statements read; their values keep their own text."""
    return "[" + ",".join(_sealed(one, instance_id, sealer).to_json() for one in entries) + "]"


def _sealed(entry: Entry, instance_id: str, sealer: Sealer) -> Entry:
    """The entry as it is written; that of a child is made of the child's row."""
    if isinstance(sealer, Plain) or entry.kind == SPAWN:
        return entry
    text = json.dumps(entry.value) if entry.text is None else entry.text
    error = None if entry.error is None else sealer.seal_error(instance_id, entry.error)
    # Nothing is nothing: statements fill in what an operation comes to.
    sealed = None if text == "null" else sealer.seal_of(instance_id, text)
    return replace(entry, text=sealed, value=None, error=error)
