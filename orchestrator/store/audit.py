"""The audit trail as a whole: its seals, its parts, and reading it in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

from orchestrator.domain.audit import GENESIS, Seal, chain
from orchestrator.domain.audit_check import Round
from orchestrator.domain.instance import Event
from orchestrator.store.database import Connection, Database
from orchestrator.store.rows import to_event
from orchestrator.store.statements import statement

#: Columns that are bytes in the table and hexadecimal text in our values.
_HASHES = ("session_previous", "session_hash", "previous", "hash")
#: Before and after every sequence, also of one that was put in by hand.
_START, _END = -(2**63), 2**63 - 1


@dataclass(frozen=True)
class Filter:
    """Which events; None means all."""

    session: str | None = None
    tenant: str | None = None
    since: datetime | None = None
    until: datetime | None = None


EVERYTHING = Filter()

#: From the sealed events, by session in order, and the newest seals, to new seals.
Sealing = Callable[[Sequence[Event], Seal | None, dict[str, Seal], datetime], list[Seal]]


class AuditTrail:
    """The tables `events`, `audit_seals` and `audit_mark`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def seal(self, limit: int, make: Sealing) -> tuple[list[Seal], bool]:
        """Seal up to `limit` events; answers the new seals, and whether there are more events.

        An event is sealed only when none with a lower sequence can appear any more. Two at the
        same time: one does nothing.
        """
        with self._database.transaction() as connection:
            if not _one(connection, "lock_seals")["got"]:
                return [], False
            final = _final_upto(connection)
            after = int(_one(connection, "sealed_upto")["upto"])
            events = _events(connection, after, final, EVERYTHING, limit)
            if not events:
                return [], False
            names = sorted({event.session for event in events})
            rows = connection.execute(statement("newest_seals_of"), {"sessions": names})
            heads = {row["session"]: _to_seal(row) for row in rows}
            at = _one(connection, "clock")["now"]
            seals = make(events, _newest(connection), heads, at)
            _add(connection, seals)
        return seals, len(events) == limit

    def newest(self) -> Seal | None:
        """The head of the chain."""
        with self._database.connection() as connection:
            return _newest(connection)

    def newest_cut(self) -> Seal | None:
        """What says which events were dropped; None while none ever were."""
        row = self._database.row(statement("newest_cut"))
        return None if row is None else _to_seal(row)

    def rounds(self, which: Filter = EVERYTHING, page: int = 5_000) -> Iterator[Round]:
        """The whole trail in order, a round of sealing at a time; at its end what is not sealed.

        In front of all rounds: the events that a cut has left. Memory is bounded by a round.
        """
        cut = self.newest_cut()
        upto = _START
        if cut is not None:
            upto = cut.upto
            yield [], list(self._between(_START, upto, which, page))
        for seals in self._sealed_rounds(page):
            after = upto
            if seals[-1].session is not None:
                upto = max(upto, seals[-1].upto)
            yield seals, list(self._between(after, upto, which, page))
        while events := list(self._page(upto, _END, which, page)):
            upto = events[-1].sequence
            yield [], events

    def make_parts(self, ahead: int) -> int:
        """Make the parts of so many coming months; answers how many were missing."""
        row = self._database.row(statement("make_event_parts"), ahead=ahead)
        assert row is not None
        return int(row["made"])

    def drop_parts(self, before: datetime) -> int:
        """Drop the parts that end before a time, and say so in the chain; answers how many.

        None is dropped while an event in them is not sealed.
        """
        with self._database.transaction() as connection:
            rows = connection.execute(statement("old_event_parts"), {"before": before}).fetchall()
            if not rows or not _one(connection, "lock_seals")["got"]:
                return 0
            ends = rows[-1]["until"]
            last = _one(connection, "last_event_before", before=ends)["last"]
            if last:
                upto = int(_one(connection, "round_end", sequence=last)["upto"])
                if not upto:
                    return 0
                _add(connection, [_cut(connection, upto, ends)])
            for row in rows:
                connection.execute(statement("drop_event_part"), {"part": row["part"]})
        return len(rows)

    def _sealed_rounds(self, page: int) -> Iterator[list[Seal]]:
        """All seals, those of one round together; a cut is a round of its own."""
        for _, seals in groupby(
            self._seals(page), key=lambda seal: (seal.session is None, seal.upto)
        ):
            yield list(seals)

    def _seals(self, page: int) -> Iterator[Seal]:
        number = 0
        while rows := self._database.rows(statement("seals_after"), number=number, limit=page):
            yield from map(_to_seal, rows)
            number = rows[-1]["number"]

    def _between(self, after: int, upto: int, which: Filter, page: int) -> Iterator[Event]:
        while events := self._page(after, upto, which, page):
            yield from events
            after = events[-1].sequence

    def _page(self, after: int, upto: int, which: Filter, limit: int) -> list[Event]:
        if after >= upto:
            return []
        with self._database.connection() as connection:
            return _events(connection, after, upto, which, limit)


def _final_upto(connection: Connection) -> int:
    """The sequence up to which no event can appear any more; 0 while none is known.

    Numbers are given before transactions commit. Those up to a number that was the newest at some
    time are final once all transactions have ended that could have taken one by then.
    """
    # In this order: one that begins to write in between takes a greater number.
    last = int(_one(connection, "last_event_number")["last"])
    holders = set(_one(connection, "event_writers")["holders"])
    mark = connection.execute(statement("audit_mark")).fetchone()
    if not holders:
        return last
    if mark is None or holders.isdisjoint(mark["holders"]):
        values = {"upto": last, "holders": sorted(holders)}
        connection.execute(statement("set_audit_mark"), values)
    return 0 if mark is None or not holders.isdisjoint(mark["holders"]) else int(mark["upto"])


def _events(
    connection: Connection, after: int, upto: int, which: Filter, limit: int
) -> list[Event]:
    values = {"after": after, "upto": upto, "limit": limit, **asdict(which)}
    return [to_event(row) for row in connection.execute(statement("events_between"), values)]


def _cut(connection: Connection, upto: int, ends: datetime) -> Seal:
    """The seal that says that everything before a time is gone."""
    values = {"upto": upto, "before": ends}
    kept = [to_event(row) for row in connection.execute(statement("kept_events"), values)]
    newest = _newest(connection)
    assert newest is not None
    return Seal(
        number=newest.number + 1,
        session=None,
        session_number=None,
        first_sequence=None,
        last_sequence=None,
        upto=upto,
        events=len(kept),
        cut_before=ends,
        session_previous=None,
        session_hash=chain(GENESIS, kept),
        previous=newest.hash,
        hash="",
        sealed_at=_one(connection, "clock")["now"],
    ).hashed()


def _newest(connection: Connection) -> Seal | None:
    row = connection.execute(statement("newest_seal")).fetchone()
    return None if row is None else _to_seal(row)


def _add(connection: Connection, seals: Sequence[Seal]) -> None:
    with connection.cursor() as cursor:
        cursor.executemany(statement("add_seal"), [_to_row(seal) for seal in seals])


def _one(connection: Connection, name: str, **values: Any) -> dict[str, Any]:
    row = connection.execute(statement(name), values).fetchone()
    assert row is not None
    return row


def _to_seal(row: dict[str, Any]) -> Seal:
    texts = {name: None if row[name] is None else bytes(row[name]).hex() for name in _HASHES}
    return Seal(**row | texts)


def _to_row(seal: Seal) -> dict[str, Any]:
    row = asdict(seal)
    for name in _HASHES:
        row[name] = None if row[name] is None else bytes.fromhex(row[name])
    return row
