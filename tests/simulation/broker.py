"""The broker: messages in the order in which a worker reads them, until they are lost."""

from __future__ import annotations

import bisect
import itertools
from dataclasses import dataclass, field

from tests.simulation.events import Event


@dataclass(frozen=True, order=True)
class Message:
    """An attempt that was handed out. Sorts as it is read."""

    level: int
    number: int
    instance_id: str = field(compare=False)
    attempt: int = field(compare=False)


class Broker:
    """What lies in the lists of Redis, which is lost with it."""

    def __init__(self) -> None:
        self._messages: list[Message] = []
        self._numbers = itertools.count(1)
        self.readers: list[Event] = []

    def __len__(self) -> int:
        return len(self._messages)

    def push(self, text: str) -> None:
        """A script has sent a message: `id attempt level`."""
        instance_id, attempt, level = text.split(" ")
        self.put(Message(int(level), next(self._numbers), instance_id, int(attempt)))

    def put(self, message: Message) -> None:
        """Add it (again)."""
        bisect.insort(self._messages, message)
        for reader in self.readers:
            reader.set()

    def take(self) -> Message | None:
        """The most urgent one."""
        return self._messages.pop(0) if self._messages else None

    def empty(self) -> None:
        """Lose all."""
        self._messages.clear()
