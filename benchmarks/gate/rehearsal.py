"""Commands, packed beforehand: what verbs send, taken down while they are carried out once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from orchestrator.admission.gate import Gate
from orchestrator.admission.wire import Wire

T = TypeVar("T")

Commands = list[bytes]


class Rehearsal(Wire):
    """A wire that takes down what it carries."""

    def __init__(self, gate: Gate) -> None:
        super().__init__(gate.redis)
        self._taken: Commands = []
        gate.shards[0]._wire = self

    def take_down(self, action: Callable[[T], object], items: Iterable[T]) -> Commands:
        """What the gate sends while it does something with each item."""
        self._taken = []
        for item in items:
            action(item)
        return self._taken

    def call_many(self, commands: Sequence[bytes]) -> list[Any]:
        """Send, and remember what was understood."""
        replies = super().call_many(commands)
        self._taken += commands
        return replies
