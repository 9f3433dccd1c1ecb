"""seal: fix what has been added to the audit trail. Every few seconds, by one of the beats.

Apart from the transactions that add events: a chain that each of them had to extend would let
only one of a session commit at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from orchestrator.domain.audit import GENESIS, Seal, chain
from orchestrator.domain.instance import Event
from orchestrator.domain.report import Report
from orchestrator.engine.deps import Deps
from orchestrator.telemetry.logging import get_logger

log = get_logger("orchestrator.audit")

#: Events that one round seals at most.
PAGE = 5_000


def run_once(deps: Deps) -> Report:
    """Seal the events that are there for good, one seal a session."""
    seals, more = deps.store.audit.seal(PAGE, make_seals)
    sealed = sum(seal.events for seal in seals)
    if seals:
        # The log is one of the places outside of the database where heads are kept.
        log.info("audit.sealed", events=sealed, seal=seals[-1].number, head=seals[-1].hash)
    return Report("seal", sealed=sealed, more=more)


def make_seals(
    events: Sequence[Event], newest: Seal | None, heads: dict[str, Seal], at: datetime
) -> list[Seal]:
    """A seal for each session that these events are of, in the order of their first ones."""
    by_session: dict[str, list[Event]] = {}
    for event in events:
        by_session.setdefault(event.session, []).append(event)
    seals: list[Seal] = []
    for session, own in by_session.items():
        before = heads.get(session)
        seal = _seal(session, own, before, newest, upto=events[-1].sequence, at=at)
        seals.append(seal)
        newest = seal
    return seals


def _seal(
    session: str,
    events: Sequence[Event],
    before: Seal | None,
    newest: Seal | None,
    *,
    upto: int,
    at: datetime,
) -> Seal:
    previous = GENESIS if before is None else before.session_hash
    return Seal(
        number=1 if newest is None else newest.number + 1,
        session=session,
        session_number=1 if before is None else (before.session_number or 0) + 1,
        first_sequence=events[0].sequence,
        last_sequence=events[-1].sequence,
        upto=upto,
        events=len(events),
        cut_before=None,
        session_previous=previous,
        session_hash=chain(previous, events),
        previous=GENESIS if newest is None else newest.hash,
        hash="",
        sealed_at=at,
    ).hashed()
