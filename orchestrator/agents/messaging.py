"""Messages and signals: sent once, and received once, in every run of an agent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any, Literal, TypeVar

from orchestrator.agents.handle import Handle
from orchestrator.agents.history import Place
from orchestrator.agents.operations import until_of
from orchestrator.agents.waiting import SHORT, Waiting
from orchestrator.domain.errors import (
    DeadlockDetected,
    InvalidRequest,
    MessageRefused,
    NothingReceived,
    OrchestratorError,
    Unavailable,
)
from orchestrator.domain.ids import parse_id
from orchestrator.domain.message import Message, MessageKind, Reach, Sent
from orchestrator.domain.waits import WaitKind, WaitNode

T = TypeVar("T")


class Messaging(Waiting):
    """The operations that talk to other agents and to services.

    All that wait follow one rule: after `timeout` seconds they raise `NothingReceived`, with 0 at
    once if nothing is there, and without a timeout they wait for ever, holding no slot.
    """

    def send(self, to: Handle | str, body: Any) -> Sent:
        """Send a message, a JSON value, to an instance of this session.

        Raises `MessageRefused`, as when it has ended.
        """
        return self._say("send", MessageKind.MESSAGE, body, _id_of(to))

    def request(self, to: Handle | str, body: Any, *, timeout: float | None = None) -> Any:
        """Send a message and wait for the reply; answers its body.

        Raises `MessageRefused` when the instance ends, or has ended, without a reply, and
        `DeadlockDetected` when it waits, near or far, for this one.
        """
        target = _id_of(to)
        with self._lock:
            sent = self._say("request", MessageKind.REQUEST, body, target)
            reply = self._take(
                "reply", WaitKind.REPLY, sent.id, timeout, f"reply from {target}", target
            )
        return reply.body

    def reply(self, message: Message, body: Any) -> Sent:
        """Answer a request."""
        if message.kind is not MessageKind.REQUEST or message.sender is None:
            raise InvalidRequest(
                "NOT_A_REQUEST",
                f"The message {message.id} is a {message.kind}, which nobody waits for a reply "
                "to. Send one with `ctx.send(message.sender, ...)`.",
            )
        requester = message.sender
        with self._lock:
            place = self._next("answer", message.id)
            if place.recorded is not None:
                return Sent(**place.recorded.value)
            sent = self._send(
                place, MessageKind.REPLY, body, target=requester, correlation=message.id
            )
            # Before this instance waits for anybody: nobody waits for it because of this any more.
            self._backend.mail.answer(requester)
            return sent

    def publish(self, topic: str, body: Any) -> Sent:
        """Send a message to all others of the session that have subscribed to a topic."""
        return self._say("publish", MessageKind.MESSAGE, body, None, Reach.TOPIC, topic)

    def subscribe(self, topic: str) -> None:
        """From now on `receive` also gets what is published to this topic."""
        with self._lock:
            place = self._next("subscribe", topic)
            if place.recorded is None:
                self._written(
                    place,
                    lambda: self._backend.mail.subscribe(
                        topic, place.entry(), self._history.unwritten()
                    ),
                )

    def broadcast(self, body: Any, *, to: Literal["session", "subtree"] = "session") -> Sent:
        """Send a message to all others in the session, or to all below this instance, at once."""
        if to not in ("session", "subtree"):
            raise InvalidRequest(
                "INVALID_REACH", f'to is {to!r}; it must be "session" or "subtree".'
            )
        top = self._backend.instance.id if to == "subtree" else None
        return self._say("broadcast", MessageKind.MESSAGE, body, top, Reach(to))

    def receive(self, *, timeout: float | None = None, topic: str | None = None) -> Message:
        """The oldest message for this instance, waiting for one; with a topic, of that topic."""
        what = "message" if topic is None else f"message of the topic {topic!r}"
        return self._take("receive", WaitKind.MESSAGE, topic or "", timeout, what)

    def signal(self, name: str, *, timeout: float | None = None) -> Any:
        """The value of the oldest signal of this name, waiting for one."""
        return self._take("signal", WaitKind.SIGNAL, name, timeout, f"signal {name!r}").body

    # --- what handles ask (see `Desk`) -------------------------------------------------------

    def give_signal(self, instance_id: str, name: str, value: Any) -> Sent:
        """Give a signal to an instance of this session."""
        return self._say(
            "give_signal", MessageKind.SIGNAL, value, instance_id, Reach.INSTANCE, name
        )

    # --- how --------------------------------------------------------------------------------

    def _say(
        self,
        operation: str,
        kind: MessageKind,
        body: Any,
        target: str | None,
        reach: Reach = Reach.INSTANCE,
        name: str | None = None,
    ) -> Sent:
        with self._lock:
            place = self._next(operation, name or target or reach)
            if place.recorded is not None:
                return Sent(**place.recorded.value)
            return self._send(place, kind, body, reach, target=target, name=name)

    def _send(
        self,
        place: Place,
        kind: MessageKind,
        body: Any,
        reach: Reach = Reach.INSTANCE,
        **address: str | None,
    ) -> Sent:
        mail, others = self._backend.mail, self._history.unwritten()
        return self._written(
            place, lambda: mail.send(kind, reach, body, place.entry(), others, **address)
        )

    def _take(
        self,
        operation: str,
        box: WaitKind,
        name: str,
        timeout: float | None,
        what: str,
        target: str = "",
    ) -> Message:
        """What lies in a box under a name, once it does. `target`: who is to put it there."""
        with self._lock:
            place = self._next(operation, name)
            self._raise_deadlock(place)
            value = place.recorded.value if place.recorded is not None else None
            if value is None or "message" not in value:
                until = until_of(place) or self._deadline(timeout)
                value = self._look(place, box, name, until, target)
            if value["message"] is None:
                raise self._raised(place, NothingReceived(what, timeout or 0.0))
            return Message.from_dict(value["message"])

    def _look(
        self, place: Place, box: WaitKind, name: str, until: datetime | None, target: str
    ) -> dict[str, Any]:
        """What the journal has of it; leaves the function while there is nothing."""
        mail = self._backend.mail
        while True:
            left = None if until is None else (until - self._backend.now()).total_seconds()
            gives_up = left is not None and left <= 0
            # Asked first: whoever has ended by now has replied before that or never will.
            is_gone = target != "" and self._backend.state_of(target).is_terminal
            others = self._history.unwritten()
            found = mail.receive(box, name, place.entry(), others, gives_up=gives_up)
            if found is not None:
                self._history.were_written()
                return found
            if is_gone:
                raise self._raised(place, _gone(target))
            if left is not None and left <= SHORT:
                self._backend.pause(left)
                continue
            if target:
                self._wait_for_reply(place, target)
            wait = self._wait_for(place, box, until)
            targets = (target,) if target else ()
            self._suspend(place, replace(wait, name=name, targets=targets, needs=len(targets)))

    def _wait_for_reply(self, place: Place, target: str) -> None:
        cycle = self._backend.mail.begin_wait_for_reply(self._claim(place), target)
        if cycle:
            nodes = [node.to_dict() for node in cycle]
            self._history.write(place.failure({"type": "DeadlockDetected", "cycle": nodes}))
            raise self._raised(place, DeadlockDetected(cycle))

    def _raise_deadlock(self, place: Place) -> None:
        """Raise what an earlier run was told here, if it was told that it waits in vain."""
        if place.recorded is not None and place.recorded.error is not None:
            cycle = tuple(WaitNode(**node) for node in place.recorded.error["cycle"])
            raise self._raised(place, DeadlockDetected(cycle))

    def _written(self, place: Place, action: Callable[[], T]) -> T:
        """Do what writes its own place in the journal."""
        try:
            done = action()
        except Unavailable:
            self._history.give_back(place)
            raise
        except OrchestratorError as error:
            raise self._raised(place, error) from None
        self._history.were_written()
        return done


def _id_of(to: Handle | str) -> str:
    return to.id if isinstance(to, Handle) else parse_id(to)


def _gone(target: str) -> MessageRefused:
    return MessageRefused(
        "RECIPIENT_ENDED",
        f"Instance {target} has ended without a reply to this request. Ask another one, or look at "
        "how it ended.",
        recipient=target,
    )
