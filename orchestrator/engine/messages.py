"""messages: check what is to be said, write it down with where it is to go, wake who waits for it.

A message is sent once it is written. Who waits for it is woken by the gate; should that be lost,
the reconciler finds that their wait is over. Nobody is ever run only to be given a message.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from orchestrator.domain import payload
from orchestrator.domain.errors import (
    GateUnavailable,
    InstanceNotFound,
    InvalidRequest,
    MessageRefused,
)
from orchestrator.domain.ids import new_id
from orchestrator.domain.message import (
    Delivery,
    MessageKind,
    NewMessage,
    Reach,
    Sent,
    message_id,
)
from orchestrator.domain.names import is_label
from orchestrator.engine.deps import Deps
from orchestrator.engine.running import Stop, StopReason
from orchestrator.store.journal import Recording
from orchestrator.telemetry import metrics
from orchestrator.telemetry.logging import get_logger

log = get_logger("orchestrator.messages")


def compose(
    deps: Deps,
    reach: Reach,
    body: object,
    *,
    kind: MessageKind = MessageKind.MESSAGE,
    target: str | None = None,
    session: str | None = None,
    tenant: str | None = None,
    name: str | None = None,
    correlation: str | None = None,
    identity: Sequence[object] = (),
    by_content: bool = False,
) -> NewMessage:
    """A message that can be sent; raises `InvalidRequest` for what cannot.

    `identity` is what makes two sends to the same one message, `by_content` only if they also say
    the same; without it each is its own.
    """
    for what, given in (("a session", session), ("a tenant", tenant)):
        if given is not None:
            check_name(what, given)
    if kind is MessageKind.SIGNAL or reach is Reach.TOPIC:
        check_name("a signal" if kind is MessageKind.SIGNAL else "a topic", name)
    text = encode(deps, body, "body")
    identity = (*identity, kind, reach, target or session, name) if identity else ()
    return NewMessage(
        id=message_id(*identity, *([text] if by_content else [])) if identity else new_id(),
        kind=kind,
        reach=reach,
        body=text,
        target=target,
        session=session,
        tenant=tenant,
        name=name,
        correlation=correlation,
    )


def keyed(idempotency_key: str | None) -> tuple[object, ...]:
    """The identity of what a service sends: its own key, if it gives one."""
    if idempotency_key is None:
        return ()
    check_name("an idempotency key", idempotency_key)
    return ("key", idempotency_key)


def send(deps: Deps, new: NewMessage, recording: Recording | None = None) -> Sent:
    """Send it; with a recording, as that running attempt.

    Raises `MessageRefused`, `InstanceNotFound`, or, for an attempt that may not write, `Stop`.
    """
    reply = deps.store.messages.send(new, recording)
    if reply.outcome not in ("sent", "repeated"):
        raise _refusal(new, reply.outcome)
    metrics.MESSAGES.add(new.kind)
    wake(deps, reply.woken)
    return Sent(new.id, reply.recipients, reply.skipped)


def wake(deps: Deps, ids: Sequence[str]) -> None:
    """Have these look again; a hint, which may get lost."""
    if ids:
        with suppress(GateUnavailable):
            deps.gate.wake(ids)


def messages(deps: Deps, session_or_id: str, *, is_instance: bool, limit: int) -> list[Delivery]:
    """The newest messages of an instance or a session, oldest first."""
    if limit < 1:
        raise InvalidRequest("INVALID_LIMIT", f"The limit is {limit}; it must be at least 1.")
    table = deps.store.messages
    return list((table.of_instance if is_instance else table.of_session)(session_or_id, limit))


def encode(deps: Deps, value: object, name: str) -> str:
    """The JSON text of a value that is to be stored."""
    try:
        return payload.encode(value, name=name, max_bytes=deps.max_payload_bytes)
    except payload.NotJSON as error:
        raise InvalidRequest("NOT_JSON", f"{error}. It must be a JSON value.") from None
    except payload.TooLarge as error:
        raise InvalidRequest("PAYLOAD_TOO_LARGE", str(error)) from None


def check_name(what: str, name: object) -> None:
    """Refuse the name of a topic, signal, key, session or tenant that cannot be one."""
    if not is_label(name):
        raise InvalidRequest(
            "INVALID_NAME", f"{name!r} cannot be {what}: use 1 to 200 printable characters."
        )


def _refusal(new: NewMessage, outcome: str) -> BaseException:
    """Why it was not sent, and what to do about it."""
    to = new.target
    if outcome == "fenced":
        return Stop(StopReason.FENCED)
    if outcome == "unknown":
        return InstanceNotFound(to) if to else _no_session(new.session)
    if outcome == "other_tenant" and to is None:
        return session_of_another_tenant(new.session, new.tenant)
    if outcome == "ended":
        return MessageRefused(
            "RECIPIENT_ENDED",
            f"Instance {to} has ended and receives nothing any more. Ask who spawned it, or "
            "spawn another one.",
            recipient=to,
        )
    if outcome == "other_tenant":
        return MessageRefused(
            "RECIPIENT_OF_ANOTHER_TENANT",
            f"Instance {to} belongs to another tenant than {new.tenant!r}. Messages stay within "
            "a tenant: name the one that it belongs to.",
            recipient=to,
        )
    if outcome == "other_session":
        return MessageRefused(
            "RECIPIENT_OF_ANOTHER_SESSION",
            f"Instance {to} belongs to another session than {new.session!r}. Agents send within "
            "their session only: let a service pass the message on, or spawn into one session.",
            recipient=to,
        )
    return MessageRefused(
        "IDEMPOTENCY_CONFLICT",
        "The idempotency key belongs to another message to the same. Use a new key for a new "
        "message.",
        recipient=to,
    )


def _no_session(session: str | None) -> InvalidRequest:
    return InvalidRequest(
        "SESSION_NOT_FOUND",
        f"No session is called {session!r}: nothing was ever spawned or shared in it. "
        "`orchestrator list` shows the sessions of instances.",
    )


def session_of_another_tenant(session: str | None, tenant: str | None) -> InvalidRequest:
    """The refusal of a session that is not this tenant's."""
    return InvalidRequest(
        "SESSION_OF_ANOTHER_TENANT",
        f"The session {session!r} belongs to another tenant than {tenant!r}. Name the tenant "
        "that it belongs to, or use a session of your own.",
    )
