"""Messages and their deliveries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from orchestrator.domain.message import Delivery, Message, MessageKind, NewMessage
from orchestrator.store.database import Database
from orchestrator.store.journal import NOWHERE, Recording
from orchestrator.store.statements import statement


@dataclass(frozen=True)
class SendReply:
    """What became of a send."""

    #: `sent`; `repeated`, when it was sent before; or why not: `unknown` (no such target),
    #: `other_tenant`, `other_session`, `ended`, `conflict` (another message has the id), `fenced`
    outcome: str
    recipients: int
    skipped: int
    #: those that were waiting for it
    woken: tuple[str, ...]


@dataclass(frozen=True)
class ReceiveReply:
    """What there was to receive."""

    #: `received`, `nothing`, `gave_up`, or `fenced`
    outcome: str
    #: what the journal holds of it
    message: Mapping[str, Any] | None


@dataclass(frozen=True)
class Removal:
    """What a page of old messages came to."""

    removed: int
    #: the sequence of the last that was looked at; None when there were no more
    last: int | None


class MessageTable:
    """The statements of `sql/messages.sql`, with parameters in and values out."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def send(self, new: NewMessage, recording: Recording | None = None) -> SendReply:
        """Send a message; with a recording, as that running attempt and noted in its journal."""
        where = NOWHERE if recording is None else recording.to_parameters(self._database.sealer)
        sender = None if recording is None else recording.instance_id
        told = where | {"sender": sender, "body": self._sealed(new)}
        row = self._database.row(statement("send_message"), **asdict(new) | told)
        assert row is not None
        return SendReply(
            outcome=row["outcome"],
            recipients=row["recipients"] or 0,
            skipped=row["skipped"] or 0,
            woken=tuple(map(str, row["woken"] or ())),
        )

    def receive(
        self, recording: Recording, box: str, name: str | None, *, gives_up: bool = False
    ) -> ReceiveReply:
        """Take the oldest of what lies in a box under a name (None: any), for this attempt.

        It is noted in the journal with it; with `gives_up`, also that there was nothing.
        """
        row = self._database.row(
            statement("receive_message"),
            **recording.to_parameters(self._database.sealer),
            id=recording.instance_id,
            box=box,
            name=name,
            gives_up=gives_up,
        )
        assert row is not None
        return ReceiveReply(row["outcome"], row["message"])

    def subscribe(self, recording: Recording, session: str, topic: str) -> bool:
        """From now on what is published to the topic is for this instance; False if fenced out."""
        row = self._database.row(
            statement("subscribe"),
            **recording.to_parameters(self._database.sealer),
            id=recording.instance_id,
            session=session,
            topic=topic,
        )
        return row is not None and bool(row["done"])

    def of_instance(self, instance_id: str, limit: int) -> Sequence[Delivery]:
        """The newest messages to or from an instance, oldest first."""
        rows = self._database.rows(statement("messages_of_instance"), id=instance_id, limit=limit)
        return [_to_delivery(row) for row in rows]

    def of_session(self, session: str, limit: int) -> Sequence[Delivery]:
        """The newest messages in a session, oldest first."""
        rows = self._database.rows(statement("messages_of_session"), session=session, limit=limit)
        return [_to_delivery(row) for row in rows]

    def remove(self, after: int, keep: float, limit: int) -> Removal:
        """Remove old messages that nobody is left for, of the next `limit` after a sequence.

        `keep`: seconds for which they stay at least.
        """
        values = {"after": after, "keep": keep, "limit": limit}
        with self._database.transaction() as connection:
            rows = connection.execute(statement("old_messages"), values).fetchall()
            done = {"sequences": [row["sequence"] for row in rows if row["is_done"]]}
            connection.execute(statement("remove_deliveries"), done)
            connection.execute(statement("remove_messages"), done)
            connection.execute(statement("remove_subscriptions"), values)
        last = rows[-1]["sequence"] if rows else None
        return Removal(len(done["sequences"]), last)

    def _sealed(self, new: NewMessage) -> str:
        """The body, for the session that the message stays in."""
        sealer = self._database.sealer
        if new.session is None or new.tenant is None:
            return sealer.seal_of(new.target or "", new.body)
        return sealer.seal(new.tenant, new.session, new.body)


def _to_delivery(row: Mapping[str, Any]) -> Delivery:
    message = Message(
        id=str(row["id"]),
        sequence=row["sequence"],
        kind=MessageKind(row["kind"]),
        sender=None if row["sender"] is None else str(row["sender"]),
        topic=row["name"],
        correlation=None if row["correlation"] is None else str(row["correlation"]),
        body=row["body"],
        sent_at=row["sent_at"],
        redeliveries=row["redeliveries"],
    )
    return Delivery(
        message=message,
        recipient=str(row["recipient"]),
        state=row["state"],
        attempt=row["attempt"],
        position=row["position"],
        delivered_at=row["delivered_at"],
    )
