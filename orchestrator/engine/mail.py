"""mail: the messages and shared values of one running attempt.

What is done, and that the attempt has done it, is one transaction; see `store/journal.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from orchestrator.domain.errors import InstanceNotFound
from orchestrator.domain.journal import Entry
from orchestrator.domain.message import MessageKind, Reach, Sent
from orchestrator.domain.shared import SharedValue
from orchestrator.domain.waits import WaitKind, WaitNode
from orchestrator.engine import messages
from orchestrator.engine.deps import Deps
from orchestrator.engine.patience import insist
from orchestrator.engine.running import Run, Stop
from orchestrator.engine.wait import note_deadlock
from orchestrator.store.journal import Recording
from orchestrator.store.sessions import ShareReply


class RunMail:
    """The messages of one attempt."""

    def __init__(self, deps: Deps, run: Run) -> None:
        self._deps, self._run = deps, run

    def send(
        self,
        kind: MessageKind,
        reach: Reach,
        body: object,
        operation: Entry,
        others: Sequence[Entry],
        *,
        target: str | None = None,
        name: str | None = None,
        correlation: str | None = None,
    ) -> Sent:
        """Send a message within the session."""
        instance = self._run.instance
        new = messages.compose(
            self._deps,
            reach,
            body,
            kind=kind,
            target=target,
            session=instance.session,
            tenant=instance.tenant,
            name=name,
            correlation=correlation,
            # Also of one that does again what an ended one has done.
            identity=(
                instance.retry_of or instance.id,
                instance.history,
                operation.position,
            ),
            by_content=True,
        )
        recording = _recording(self._run, operation, others)
        try:
            return insist(lambda: messages.send(self._deps, new, recording))
        except Stop:
            raise self._run.fenced() from None

    def subscribe(self, topic: str, operation: Entry, others: Sequence[Entry]) -> None:
        """Have what is published to a topic come to this instance too."""
        messages.check_name("a topic", topic)
        recording = _recording(self._run, operation, others)
        session = self._run.instance.session
        if not insist(lambda: self._deps.store.messages.subscribe(recording, session, topic)):
            raise self._run.fenced()

    def receive(
        self,
        box: WaitKind,
        name: str,
        operation: Entry,
        others: Sequence[Entry],
        *,
        gives_up: bool,
    ) -> dict[str, Any] | None:
        """Take the oldest of what lies there."""
        recording = _recording(self._run, operation, others)
        table = self._deps.store.messages
        reply = insist(lambda: table.receive(recording, box, name or None, gives_up=gives_up))
        if reply.outcome == "fenced":
            raise self._run.fenced()
        return None if reply.outcome == "nothing" else {"message": reply.message}

    def begin_wait_for_reply(self, claim: str, target: str) -> tuple[WaitNode, ...]:
        """Tell the gate whose reply this is about to wait for."""
        run, gate = self._run, self._deps.gate
        reply = insist(
            lambda: gate.begin_wait(run.instance, run.attempt, claim, [target], kind="reply")
        )
        if reply.cycle:
            note_deadlock(self._deps, run, reply.cycle)
        return reply.cycle

    def answer(self, requester: str) -> None:
        """Tell the gate that a reply has been given, before anything else is waited for."""
        found = insist(lambda: self._deps.store.get(requester))
        if found is None:
            raise InstanceNotFound(requester)
        insist(lambda: self._deps.gate.answer(found, self._run.id))


class RunValues:
    """The shared values of the session, for one attempt."""

    def __init__(self, deps: Deps, run: Run) -> None:
        self._run, self._table = run, deps.store.shared
        self._session, self._tenant = run.instance.session, run.instance.tenant

    def newest(self, key: str) -> SharedValue | None:
        """The newest version of a key."""
        found = insist(lambda: self._table.newest(self._session, key))
        return None if found is None or found.is_deleted else found

    def history(self, key: str) -> list[SharedValue]:
        """All versions of a key."""
        return insist(lambda: self._table.history(self._session, key))

    def at(self, version: int | None) -> list[SharedValue]:
        """All keys as they were at a version."""
        return insist(lambda: self._table.at(self._session, version))

    def version(self) -> int:
        """The number of the newest change."""
        return insist(lambda: self._table.version(self._session))

    def change(
        self,
        key: str,
        text: str | None,
        expected: int | None,
        operation: Entry,
        others: Sequence[Entry],
    ) -> dict[str, Any]:
        """Give a key a value, or take it away."""
        recording = _recording(self._run, operation, others)
        reply = insist(
            lambda: self._table.set(self._session, self._tenant, key, text, expected, recording)
        )
        return self._value_of(reply)

    def roll_back(self, version: int, operation: Entry, others: Sequence[Entry]) -> dict[str, Any]:
        """Make all keys what they were at a version."""
        recording = _recording(self._run, operation, others)
        reply = insist(
            lambda: self._table.roll_back(self._session, self._tenant, version, recording)
        )
        return self._value_of(reply)

    def _value_of(self, reply: ShareReply) -> dict[str, Any]:
        if reply.outcome == "fenced":
            raise self._run.fenced()
        return {"outcome": reply.outcome, "version": reply.version}


def _recording(run: Run, operation: Entry, others: Sequence[Entry]) -> Recording:
    run.check()
    return Recording(run.id, run.attempt, operation, others)
