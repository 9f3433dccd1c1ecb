"""The seals of the audit trail: what is hashed, in which form.

Every few seconds the events that have appeared are sealed, one seal for each session that has some.
A seal's `session_hash` is SHA-256 over the `session_hash` of the session's seal before it and over
its events, in order; its `hash` is SHA-256 over the `hash` of the seal before it, of whichever
session, and over all fields of the seal. So an event cannot be changed, added, removed or moved
without changing the newest hash of its session, and no seal without changing the newest of all,
the *head*. (Haber and Stornetta, "How to Time-Stamp a Digital Document", 1991.)

What is hashed of a value is its canonical JSON in UTF-8: an array of its fields in a fixed order,
keys sorted, without spaces, ASCII only, times in UTC to the microsecond, hashes in hexadecimal.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, Self

from orchestrator.domain.instance import Event
from orchestrator.domain.lifecycle import State

#: The hash that comes before the first.
GENESIS = "0" * 64


@dataclass(frozen=True)
class Seal:
    """What fixes the newest events of a session; without a session, a cut.

    A cut says that the events before a time were dropped, and fixes which of those up to `upto`
    stay.
    """

    #: from 1, without gaps, over all sessions
    number: int
    session: str | None
    #: from 1, without gaps, in its session
    session_number: int | None
    #: the sequences of its first and last event
    first_sequence: int | None
    last_sequence: int | None
    #: all events up to this sequence are in this round of sealing or in one before
    upto: int
    #: how many events it has
    events: int
    cut_before: datetime | None
    #: hashes, as hexadecimal text
    session_previous: str | None
    session_hash: str
    previous: str
    hash: str
    sealed_at: datetime

    def expected_hash(self) -> str:
        """What its `hash` has to be for its other fields."""
        fields = [value for name, value in self.to_dict().items() if name != "hash"]
        return _sha256([_canonical(fields)])

    def hashed(self) -> Self:
        """The same with the `hash` that it has to have."""
        return replace(self, hash=self.expected_hash())

    def to_dict(self) -> dict[str, Any]:
        """The seal as JSON."""
        return asdict(self) | {
            "cut_before": None if self.cut_before is None else _time(self.cut_before),
            "sealed_at": _time(self.sealed_at),
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """The seal that `to_dict` wrote."""
        before = value["cut_before"]
        return cls(
            **{name: value[name] for name in cls.__dataclass_fields__}
            | {
                "cut_before": None if before is None else datetime.fromisoformat(before),
                "sealed_at": datetime.fromisoformat(value["sealed_at"]),
            }
        )


def chain(previous: str, events: Iterable[Event]) -> str:
    """The hash of a session after these events, given the one before them."""
    return _sha256([previous.encode(), *(_canonical(_fields(event)) for event in events)])


def event_from_dict(value: Mapping[str, Any]) -> Event:
    """The event that `Event.to_dict` wrote."""
    before = value["from_state"]
    return Event(
        **{name: value[name] for name in Event.__dataclass_fields__}
        | {
            "from_state": None if before is None else State(before),
            "to_state": State(value["to_state"]),
            "at": datetime.fromisoformat(value["at"]),
        }
    )


def _fields(event: Event) -> list[Any]:
    return [
        event.sequence,
        event.instance_id,
        event.session,
        event.tenant,
        event.agent,
        event.from_state,
        event.to_state,
        event.reason,
        event.attempt,
        event.worker,
        _time(event.at),
        event.kind,
        event.detail,
    ]


def _canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _sha256(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        # With its length, so that nothing can be moved from one part into the next.
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()


def _time(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="microseconds")
