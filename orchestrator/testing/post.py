"""The messages of a harness; see `store/messages.py`, whose place this takes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from orchestrator.agents.operations import decoded
from orchestrator.domain.lifecycle import State
from orchestrator.domain.message import MessageKind, NewMessage, Reach
from orchestrator.store.journal import Recording
from orchestrator.store.messages import ReceiveReply, SendReply

if TYPE_CHECKING:
    from orchestrator.testing.row import Row
    from orchestrator.testing.world import World


@dataclass
class _Delivery:
    """A message at one of those that it is for."""

    recipient: str
    box: str
    name: str | None
    message: dict[str, Any]
    #: history and position where it was received
    received: tuple[int, int] | None = None


class Post:
    """All messages, and what became of them."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._sent: dict[str, tuple[NewMessage, int]] = {}
        self._deliveries: list[_Delivery] = []
        self._subscribers: dict[tuple[str, str], set[str]] = {}

    def send(self, new: NewMessage, recording: Recording | None = None) -> SendReply:
        """Send a message; with a recording, as that running attempt."""
        sender = recording.instance_id if recording else None
        refused = self._refusal(new)
        if refused:
            return SendReply(refused, 0, 0, ())
        reached = [row for row in self._reached(new) if row.is_live]
        reached = [row for row in reached if new.reach is Reach.INSTANCE or row.id != sender]
        earlier = self._sent.get(new.id)
        if earlier is not None:
            same = (earlier[0].kind, earlier[0].body) == (new.kind, new.body)
            reply = SendReply("repeated" if same else "conflict", earlier[1], 0, ())
        elif new.reach is Reach.INSTANCE and not reached:
            return SendReply("ended", 0, 0, ())
        else:
            self._sent[new.id] = new, len(reached)
            self._deliver(new, sender, reached)
            reply = SendReply("sent", len(reached), 0, ())
        if recording and reply.outcome != "conflict":
            self._note(recording, {"id": new.id, "recipients": reply.recipients, "skipped": 0})
        return reply

    def receive(
        self, recording: Recording, box: str, name: str | None, *, gives_up: bool = False
    ) -> ReceiveReply:
        """Take the oldest of what lies in a box under a name (None: any)."""
        found = next(self._pending(recording.instance_id, box, name or ""), None)
        if found is None and not gives_up:
            return ReceiveReply("nothing", None)
        message = None
        if found is not None:
            history = self._world.row(recording.instance_id).instance.history
            found.received = history, recording.operation.position
            message = dict(found.message)
            found.message["redeliveries"] += 1
        self._note(recording, {"message": message})
        return ReceiveReply("gave_up" if message is None else "received", message)

    def subscribe(self, recording: Recording, session: str, topic: str) -> bool:
        """From now on what is published to the topic is for this instance."""
        self._subscribers.setdefault((session, topic), set()).add(recording.instance_id)
        self._note(recording, None)
        return True

    def has(self, instance_id: str, box: str, name: str) -> bool:
        """Whether something lies there."""
        return next(self._pending(instance_id, box, name), None) is not None

    def take_back(self, row: Row, position: int) -> None:
        """What was received in this part of a journal is there again."""
        for one in self._deliveries:
            if one.recipient == row.id and one.received is not None:
                history, at = one.received
                if history == row.instance.history and at >= position:
                    one.received = None

    def _pending(self, instance_id: str, box: str, name: str) -> Iterator[_Delivery]:
        for one in self._deliveries:
            is_here = (one.recipient, one.box, one.received) == (instance_id, box, None)
            if is_here and name in ("", one.name):
                yield one

    def _refusal(self, new: NewMessage) -> str:
        """Why it cannot be sent there, as the store says it."""
        rows = self._world.rows
        if new.target is not None and new.target not in rows:
            return "unknown"
        if new.target is not None:
            top = rows[new.target].instance
        else:
            found = [row for row in rows.values() if row.instance.session == new.session]
            if not found:
                return "unknown"
            top = found[0].instance
        if new.tenant not in (None, top.tenant):
            return "other_tenant"
        return "" if new.session in (None, top.session) else "other_session"

    def _reached(self, new: NewMessage) -> list[Row]:
        rows = list(self._world.rows.values())
        match new.reach:
            case Reach.SESSION:
                return [row for row in rows if row.instance.session == new.session]
            case Reach.TOPIC:
                ids = self._subscribers.get((new.session or "", new.name or ""), set())
                return [row for row in rows if row.id in ids]
        top = self._world.row(new.target or "")
        return self._world.subtree(top) if new.reach is Reach.SUBTREE else [top]

    def _deliver(self, new: NewMessage, sender: str | None, to: list[Row]) -> None:
        message = {
            "id": new.id,
            "sequence": self._world.next_turn(),
            "kind": new.kind,
            "sender": sender,
            "name": new.name,
            "correlation": new.correlation,
            "body": decoded(new.body),
            "sent_at": self._world.now.isoformat(),
            "redeliveries": 0,
        }
        box = "message" if new.kind is MessageKind.REQUEST else str(new.kind)
        name = new.correlation or new.name
        self._deliveries += [_Delivery(row.id, box, name, dict(message)) for row in to]

    def _note(self, recording: Recording, outcome: object) -> None:
        """Write into the sender's or receiver's journal what an operation came to."""
        row = self._world.row(recording.instance_id)
        assert row.instance.state is State.RUNNING
        row.write([*recording.others, replace(recording.operation, value=outcome)])
