"""audit: verify the audit trail, and write it where it can be verified without the database."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from orchestrator.domain.audit import Seal, event_from_dict
from orchestrator.domain.audit_check import Round, Verification, check
from orchestrator.domain.errors import InvalidRequest
from orchestrator.domain.instance import Event
from orchestrator.engine.deps import Deps
from orchestrator.store.audit import EVERYTHING, Filter

#: What the first line of an export says of its form.
FORM = 1


def verify(deps: Deps, session: str | None = None, anchor: str | None = None) -> Verification:
    """Compare all events with what was sealed."""
    trail = deps.store.audit
    return check(trail.rounds(), cut=trail.newest_cut(), anchor=anchor, session=session)


def head(deps: Deps) -> Seal | None:
    """The newest seal: whoever notes its hash can tell later that nothing before it was changed."""
    return deps.store.audit.newest()


def export(deps: Deps, which: Filter = EVERYTHING) -> Iterator[str]:
    """The trail as lines of JSON: what it is, then each round's events and its seals.

    Of a part of the trail, a seal is there where all of its events are.
    """
    cut, is_partial = deps.store.audit.newest_cut(), which != EVERYTHING
    first = {"type": "audit", "form": FORM, "partial": is_partial}
    yield _line(first | {"cut": None if cut is None else cut.to_dict()})
    for seals, events in deps.store.audit.rounds(which):
        for event in events:
            yield _line({"type": "event"} | event.to_dict())
        for seal in seals:
            if not is_partial or _is_whole(seal, events):
                yield _line({"type": "seal"} | seal.to_dict())


def verify_lines(lines: Iterable[str], anchor: str | None = None) -> Verification:
    """The same as `verify`, of what `export` wrote."""
    numbered = enumerate(lines, 1)
    cut, is_partial = _header(next(numbered, (1, "{}"))[1])
    entries = (_entry(number, line) for number, line in numbered)
    return check(_rounds(entries), cut=cut, anchor=anchor, partial=is_partial)


def _rounds(entries: Iterable[Seal | Event]) -> Iterator[Round]:
    """Put together again: a round ends where an event follows a seal, or a seal of another one."""
    seals: list[Seal] = []
    events: list[Event] = []
    for entry in entries:
        if seals and (isinstance(entry, Event) or _round_of(entry) != _round_of(seals[-1])):
            yield seals, events
            seals, events = [], []
        if isinstance(entry, Seal):
            seals.append(entry)
        else:
            events.append(entry)
    yield seals, events


def _round_of(seal: Seal) -> tuple[bool, int]:
    return seal.session is None, seal.upto


def _is_whole(seal: Seal, events: Iterable[Event]) -> bool:
    return seal.session is not None and seal.events == sum(
        event.session == seal.session for event in events
    )


def _line(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False)


def _header(line: str) -> tuple[Seal | None, bool]:
    """The newest cut, and whether it is an export of a part."""
    try:
        value = json.loads(line)
        if (value["type"], value["form"]) != ("audit", FORM):
            raise ValueError(f"its form is {value['form']}, not {FORM}")
        cut = value["cut"]
        return None if cut is None else Seal.from_dict(cut), bool(value["partial"])
    except (ValueError, KeyError, TypeError) as error:
        raise _unreadable(1, error) from None


def _entry(number: int, line: str) -> Seal | Event:
    try:
        value = json.loads(line)
        return Seal.from_dict(value) if value["type"] == "seal" else event_from_dict(value)
    except (ValueError, KeyError, TypeError) as error:
        raise _unreadable(number, error) from None


def _unreadable(number: int, why: Exception) -> InvalidRequest:
    return InvalidRequest(
        "UNREADABLE_EXPORT",
        f"Line {number} is not one of an exported audit trail ({type(why).__name__}: {why}). "
        "Export it again with `orchestrator audit export`.",
    )
