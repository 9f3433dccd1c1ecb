"""Messages: what is said, to whom, and what became of it there."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, Self

#: Names of messages are made in here (RFC 9562, section 5.5).
_NAMESPACE = uuid.UUID("6f726368-6573-8472-a174-6f7200000000")


class MessageKind(StrEnum):
    """What a message is to the one who receives it."""

    #: said to an instance, to many, or to those who listen to a topic
    MESSAGE = "message"
    #: the same, by one who waits for a reply
    REQUEST = "request"
    #: the answer to a request
    REPLY = "reply"
    #: a value by name, waited for by that name
    SIGNAL = "signal"


class Reach(StrEnum):
    """How many a message is for."""

    INSTANCE = "instance"
    #: every live instance of the session
    SESSION = "session"
    #: an instance and everything below it
    SUBTREE = "subtree"
    #: those of the session that have subscribed to the topic
    TOPIC = "topic"


@dataclass(frozen=True)
class Message:
    """A message, as the one who receives it holds it."""

    id: str
    #: grows with time; of what one sender sends, the later has the greater
    sequence: int
    kind: MessageKind
    #: the id of the instance that sent it; None for a service
    sender: str | None
    #: the topic it was published to, or the name of a signal
    topic: str | None
    #: of a reply: the id of the request
    correlation: str | None
    body: Any
    sent_at: datetime
    #: how often it was received before, in a part of this instance that was taken back
    redeliveries: int = 0

    def to_dict(self) -> dict[str, Any]:
        """The message as JSON."""
        return asdict(self) | {"sent_at": self.sent_at.isoformat()}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """The message that the journal holds."""
        return cls(
            id=value["id"],
            sequence=value["sequence"],
            kind=MessageKind(value["kind"]),
            sender=value["sender"],
            topic=value["name"],
            correlation=value["correlation"],
            body=value["body"],
            sent_at=datetime.fromisoformat(value["sent_at"]),
            redeliveries=value["redeliveries"],
        )


@dataclass(frozen=True)
class Delivery:
    """What became of a message at one of those that it is for."""

    message: Message
    #: the id of an instance
    recipient: str
    #: `dead`: it ended before it received it
    state: Literal["pending", "delivered", "dead"]
    #: where it was received: attempt, and position in the journal
    attempt: int | None
    position: int | None
    delivered_at: datetime | None

    def to_dict(self) -> dict[str, Any]:
        """The delivery as JSON."""
        at = self.delivered_at
        return asdict(self) | {
            "message": self.message.to_dict(),
            "delivered_at": None if at is None else at.isoformat(),
        }


@dataclass(frozen=True)
class Sent:
    """What became of sending a message."""

    #: the id of the message
    id: str
    #: how many it was sent to
    recipients: int
    #: how many it did not go to, because they had ended
    skipped: int = 0

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON."""
        return asdict(self)


@dataclass(frozen=True)
class NewMessage:
    """A message that was checked and is about to be sent."""

    id: str
    kind: MessageKind
    reach: Reach
    #: the body as JSON text
    body: str
    #: an instance, or the top of a subtree
    target: str | None = None
    #: the session and tenant it must stay in; None: those of the target
    session: str | None = None
    tenant: str | None = None
    #: the topic, or the name of a signal
    name: str | None = None
    correlation: str | None = None


def message_id(*parts: object) -> str:
    """The id of a message that is sent again whenever the same is said in the same place.

    Not by time, as other ids are: it has to come out the same.
    """
    text = "\0".join(str(part) for part in parts)
    return str(uuid.uuid5(_NAMESPACE, hashlib.sha256(text.encode()).hexdigest()))
