"""Talking to agents, for a service."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from orchestrator.domain.errors import InstanceNotFound
from orchestrator.domain.ids import is_id, parse_id
from orchestrator.domain.message import Delivery, MessageKind, Reach, Sent
from orchestrator.engine import messages
from orchestrator.engine.deps import Deps


class MessagingCalls:
    """The part of `Orchestrator` that sends and shows messages."""

    _deps: Deps

    def send(
        self,
        instance_id: str,
        body: Any,
        *,
        tenant: str | None = None,
        idempotency_key: str | None = None,
    ) -> Sent:
        """Send a message to an instance, which gets it by `ctx.receive()`.

        `body` is a JSON value. With `tenant` only if the instance is theirs. A repeated send to
        the same instance with the same `idempotency_key` is one message. Raises `MessageRefused`
        (`RECIPIENT_ENDED`, ...), `InstanceNotFound`.
        """
        return self._to(MessageKind.MESSAGE, instance_id, None, body, tenant, idempotency_key)

    def signal(
        self,
        instance_id: str,
        name: str,
        value: Any = None,
        *,
        tenant: str | None = None,
        idempotency_key: str | None = None,
    ) -> Sent:
        """Give an instance the signal that it asks for by `ctx.signal(name)`, now or later.

        Options and errors are those of `send`.
        """
        return self._to(MessageKind.SIGNAL, instance_id, name, value, tenant, idempotency_key)

    def give_signal(self, instance_id: str, name: str, value: Any) -> Sent:
        """What handles ask (see `Desk`)."""
        return self.signal(instance_id, name, value)

    def broadcast(
        self,
        session_or_id: str,
        body: Any,
        *,
        tenant: str = "default",
        idempotency_key: str | None = None,
    ) -> Sent:
        """Send a message to every live instance of a session, or to one and all below it.

        All get it at once. Raises `InvalidRequest` when the session is another tenant's or was
        never used, `MessageRefused` when the instance is another tenant's.
        """
        is_subtree = is_id(session_or_id)
        return self._send(
            Reach.SUBTREE if is_subtree else Reach.SESSION,
            body,
            target=parse_id(session_or_id) if is_subtree else None,
            session=None if is_subtree else session_or_id,
            tenant=tenant,
            identity=messages.keyed(idempotency_key),
        )

    def publish(
        self,
        session: str,
        topic: str,
        body: Any,
        *,
        tenant: str = "default",
        idempotency_key: str | None = None,
    ) -> Sent:
        """Send a message to those in a session who have called `ctx.subscribe(topic)`."""
        return self._send(
            Reach.TOPIC,
            body,
            session=session,
            tenant=tenant,
            name=topic,
            identity=messages.keyed(idempotency_key),
        )

    def messages(self, session_or_id: str, *, limit: int = 100) -> Sequence[Delivery]:
        """The newest messages from and to an instance, or in a session, oldest first.

        One line for each that a message is for, with what became of it there. Raises
        `InstanceNotFound`.
        """
        is_instance = is_id(session_or_id)
        name = parse_id(session_or_id) if is_instance else session_or_id
        found = messages.messages(self._deps, name, is_instance=is_instance, limit=limit)
        if not found and is_instance and self._deps.store.get(name) is None:
            raise InstanceNotFound(name)
        return found

    def _to(
        self,
        kind: MessageKind,
        instance_id: str,
        name: str | None,
        body: Any,
        tenant: str | None,
        key: str | None,
    ) -> Sent:
        return self._send(
            Reach.INSTANCE,
            body,
            kind=kind,
            target=parse_id(instance_id),
            tenant=tenant,
            name=name,
            identity=messages.keyed(key),
        )

    def _send(self, reach: Reach, body: Any, **fields: Any) -> Sent:
        return messages.send(self._deps, messages.compose(self._deps, reach, body, **fields))
