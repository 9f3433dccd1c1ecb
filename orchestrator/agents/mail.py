"""What the operations for messages and shared values stand on; part of a `Backend`.

`operation` is the operation as the journal is to have it, but for what it comes to, and `others`
is what the journal has not been told of yet: both are written together with what is done.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from orchestrator.domain.journal import Entry
from orchestrator.domain.message import MessageKind, Reach, Sent
from orchestrator.domain.shared import SharedValue
from orchestrator.domain.waits import WaitKind, WaitNode


class Mail(Protocol):
    """The messages of one running attempt."""

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
        """Send within the session; the same at the same place of the journal is one message.

        Raises `MessageRefused`, `InstanceNotFound`, `InvalidRequest`.
        """

    def subscribe(self, topic: str, operation: Entry, others: Sequence[Entry]) -> None:
        """From now on, what is published to the topic is for this instance too."""

    def receive(
        self,
        box: WaitKind,
        name: str,
        operation: Entry,
        others: Sequence[Entry],
        *,
        gives_up: bool,
    ) -> dict[str, Any] | None:
        """Take the oldest of what lies there (under a name, if it is not empty).

        Answers what the journal has of it: `{"message": ...}`, in which None means that there was
        nothing and it `gives_up`. Nothing is written, and None answered, where it does not.
        """

    def begin_wait_for_reply(self, claim: str, target: str) -> tuple[WaitNode, ...]:
        """Say whose reply this waits for; the circle of waits if it would never come."""

    def answer(self, requester: str) -> None:
        """This instance has replied to one that waits for it."""


class Values(Protocol):
    """The shared values of the session of one running attempt."""

    def newest(self, key: str) -> SharedValue | None:
        """The newest version of a key; None where it is not there."""

    def history(self, key: str) -> list[SharedValue]:
        """All versions of a key, oldest first."""

    def at(self, version: int | None) -> list[SharedValue]:
        """All keys as they were at a version (None: now)."""

    def version(self) -> int:
        """The number of the newest change."""

    def change(
        self,
        key: str,
        text: str | None,
        expected: int | None,
        operation: Entry,
        others: Sequence[Entry],
    ) -> dict[str, Any]:
        """Give a key a value (JSON text) or take it away; answers what the journal has of it."""

    def roll_back(self, version: int, operation: Entry, others: Sequence[Entry]) -> dict[str, Any]:
        """Make all keys what they were at a version; answers what the journal has of it."""
