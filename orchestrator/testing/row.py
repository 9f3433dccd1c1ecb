"""One instance of a harness, with all that a database would hold of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from orchestrator.agents.operations import decoded
from orchestrator.domain.instance import Instance
from orchestrator.domain.journal import Entry
from orchestrator.domain.lifecycle import State
from orchestrator.engine.running import Run
from orchestrator.store.journal import Checkpoint


@dataclass(eq=False)
class Row:
    """One instance. `instance` is replaced whenever something of it changes."""

    instance: Instance
    #: its place among all that got in line; whoever waits keeps it
    turn: int
    #: where its parent's journal has its spawn
    position: int | None = None
    steps: dict[int, Entry] = field(default_factory=dict)
    checkpoint: Checkpoint = field(default_factory=lambda: Checkpoint(0, {}))
    #: the attempt whose function is under way
    run: Run | None = None
    #: what its function raised last
    exception: BaseException | None = None
    #: how many operations have been left and repeated
    repeated: int = 0

    @property
    def id(self) -> str:
        """The id of the instance."""
        return self.instance.id

    @property
    def is_live(self) -> bool:
        """Whether it has not ended."""
        return not self.instance.state.is_terminal

    def set(self, **changes: Any) -> None:
        """Change fields of the instance."""
        self.instance = replace(self.instance, **changes)

    def queue(self, reason: str, **changes: Any) -> None:
        """Put it back in line."""
        self.set(state=State.QUEUED, reason=reason, wait=None, **changes)

    def write(self, entries: Sequence[Entry]) -> None:
        """Add to its journal, as a later run will read it."""
        self.steps |= {one.position: as_read(one) for one in entries}


def as_read(entry: Entry) -> Entry:
    """An entry as it comes back from where it was written."""
    text = json.dumps(entry.value) if entry.text is None else entry.text
    return replace(entry, value=decoded(text), text=None)
