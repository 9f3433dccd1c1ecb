"""What is left of a run, as plain values that the rules can be judged by.

`collect` reads it from a real stack: the gate in one look, the store in one snapshot. Whoever has
other sources (a simulator, a test) makes an `Evidence` of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import redis
from psycopg.rows import dict_row

from orchestrator.domain.limits import Limits
from tests.rules.gate_view import GateView, look

#: A row of a table, by column.
Row = dict[str, Any]


@dataclass(frozen=True)
class Effect:
    """One action of an agent, as it wrote it into a ledger of its own."""

    instance: str
    attempt: int
    #: of the step that it was the action of; one name is one step of an instance
    step: str
    #: seconds since the epoch
    at: float = 0.0


@dataclass(frozen=True)
class Accepted:
    """A spawn whose caller was told that it is accepted."""

    instance: str
    #: what it must have answered if it completed, as JSON text; None: anything
    result: str | None = None


@dataclass(frozen=True)
class Refused:
    """A spawn whose caller was told no, and that was not repeated under the same key."""

    tenant: str
    key: str
    code: str


@dataclass(frozen=True)
class Evidence:
    """All that the rules are judged by."""

    #: rows of `instances`, of `steps`, and those of `events` in order of `sequence`
    instances: Sequence[Row] = ()
    events: Sequence[Row] = ()
    steps: Sequence[Row] = ()
    gate: GateView = field(default_factory=GateView)
    #: what agents did, in order; read before the rows
    effects: Sequence[Effect] = ()
    limits: Limits = field(default_factory=Limits)
    #: limits of single scopes that differ from `limits`: (`pool`, `gpu`) -> 4;
    #: and (`calls`, resource) -> how many calls of it may be under way
    special: Mapping[tuple[str, str], int] = field(default_factory=dict)
    #: whether all had time to end; else only what must hold at any moment is judged
    at_rest: bool = True
    accepted: Sequence[Accepted] = ()
    refused: Sequence[Refused] = ()

    def to_lines(self) -> Iterable[str]:
        """Everything as JSON lines, each with what it is."""
        for kind in ("instances", "events", "steps", "effects", "accepted", "refused"):
            for one in getattr(self, kind):
                row = one if isinstance(one, dict) else asdict(one)
                yield json.dumps({"is": kind, **row}, default=str)
        yield json.dumps({"is": "limits", **asdict(self.limits), "at_rest": self.at_rest})
        yield json.dumps({"is": "gate", **self.gate.to_dict()}, default=str)


_CHOSEN = """
CREATE TEMPORARY TABLE chosen ON COMMIT DROP AS
SELECT id FROM instances
WHERE %(sessions)s::text[] IS NULL OR session = ANY(%(sessions)s)
   OR id = ANY(%(ids)s::uuid[])
   OR session IN (SELECT session FROM instances WHERE ended_at IS NULL)
"""
_INSTANCES = "SELECT * FROM instances JOIN chosen USING (id) ORDER BY id"
_EVENTS = """
SELECT events.* FROM events JOIN chosen ON chosen.id = instance_id
WHERE kind = 'state' ORDER BY sequence
"""
_STEPS = "SELECT steps.* FROM steps JOIN chosen ON chosen.id = instance_id ORDER BY 1, 2"


def collect(
    url: str,
    client: redis.Redis,
    gate: str,
    *,
    sessions: Sequence[str] | None = None,
    **known: Any,
) -> Evidence:
    """The evidence of a real stack: the gate first, then the store.

    `sessions` leaves out what belongs to none of them, unless it lives or its session does.
    `known` are the fields of `Evidence` that nobody here can know. What is in `effects` and
    `accepted` must have been read before, so that rows are not older than what is said of them.
    """
    view = look(client, gate)
    instances, events, steps = read_store(url, sessions, list(view.places))
    return Evidence(instances, events, steps, view, **known)


def read_store(
    url: str, sessions: Sequence[str] | None = None, ids: Sequence[str] = ()
) -> tuple[list[Row], list[Row], list[Row]]:
    """Instances, events and steps as of one moment; see `collect` for which."""
    with psycopg.connect(url, row_factory=dict_row, connect_timeout=5) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        chosen = None if sessions is None else list(sessions)
        connection.execute(_CHOSEN, {"sessions": chosen, "ids": list(ids)})
        instances, events, steps = (
            [_plain(row) for row in connection.execute(text)]
            for text in (_INSTANCES, _EVENTS, _STEPS)
        )
    return instances, events, steps


def _plain(row: Row) -> Row:
    """Ids as text, as the gate and the ledgers have them."""
    ids = ("id", "parent_id", "root_id", "instance_id", "retry_of")
    return row | {name: str(row[name]) for name in ids if row.get(name) is not None}


def read_ledger(path: Path) -> list[Effect]:
    """The lines `instance attempt step [at]` of a ledger; the last may be half a line."""
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    found = []
    for line in lines:
        instance, attempt, step, *at = line.decode().split()
        found.append(Effect(instance, int(attempt), step, float(at[0]) if at else 0.0))
    return found
