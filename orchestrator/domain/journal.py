"""What an instance has done, as its journal tells it to the next attempt."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

#: The kind of an entry that stands for a child.
SPAWN = "spawn"


@dataclass(frozen=True)
class Entry:
    """One operation of an agent that has been done.

    `position` counts the operations of a run from 0. `kind` and `name` say which one it was; a
    later run that asks for another one at the position is not the same program any more.
    """

    position: int
    kind: str
    name: str
    value: Any = None
    error: dict[str, Any] | None = None
    #: the value as JSON text, where it was encoded before
    text: str | None = None

    @classmethod
    def of_child(cls, position: int, agent: str, child: str, args: dict[str, Any] | None) -> Entry:
        """What the row of a child says of its spawn; without `args` if it has others by now."""
        return cls(position, SPAWN, agent, {"id": child, "args": args})

    @property
    def label(self) -> str:
        """What messages call it, as in `step 'fetch'`."""
        return f"{self.kind} {self.name!r}" if self.name else self.kind

    def to_json(self) -> str:
        """The entry as the text of a JSON object."""
        head = json.dumps({"position": self.position, "kind": self.kind, "name": self.name})
        value = json.dumps(self.value) if self.text is None else self.text
        error = "null" if self.error is None else json.dumps(self.error)
        return f'{head[:-1]},"value":{value},"error":{error}}}'


@dataclass(frozen=True)
class Rewind:
    """How much of its journal an instance loses by a failure: the next attempt does it again."""

    #: the first position that is taken back
    position: int
    #: children spawned before it whose failure is what failed, by their ids
    children: tuple[str, ...] = ()
