"""Which agents there are: those of this process, and those that workers have recorded."""

from __future__ import annotations

import difflib
import threading
import time
from collections.abc import Callable, Mapping

from orchestrator.domain.errors import InvalidSpawn
from orchestrator.domain.instance import AgentSpec

#: Seconds for which what was read is taken as true, and between looks for an unknown name.
FRESH = 10.0
LOOK_AGAIN = 1.0


class Catalogue:
    """Finds the spec of an agent by name; what workers recorded is read when it is needed."""

    def __init__(
        self, local: Mapping[str, AgentSpec], recorded: Callable[[], dict[str, AgentSpec]]
    ) -> None:
        self._local = local
        self._read = recorded
        self._recorded: dict[str, AgentSpec] = {}
        self._read_at = float("-inf")
        self._lock = threading.Lock()

    def find(self, name: str) -> AgentSpec:
        """The agent of this name, or `InvalidSpawn` with the names that are near."""
        spec = self._local.get(name)
        if spec is None:
            self._refresh(FRESH if name in self._recorded else LOOK_AGAIN)
            spec = self._recorded.get(name)
        if spec is None:
            raise InvalidSpawn("UNKNOWN_AGENT", self._unknown(name))
        return spec

    def _refresh(self, oldest: float) -> None:
        with self._lock:
            if time.monotonic() - self._read_at > oldest:
                self._recorded = self._read()
                self._read_at = time.monotonic()

    def _unknown(self, name: str) -> str:
        names = sorted({*self._local, *self._recorded})
        near = difflib.get_close_matches(str(name), names, n=3)
        if near:
            hint = f"Did you mean {' or '.join(near)}?"
        elif names:
            hint = f"Known are: {', '.join(names[:20])}."
        else:
            hint = "No worker has recorded any agent yet."
        return (
            f"No agent is called {name!r}. {hint} An agent is known once a worker that imports "
            "its module has started (`orchestrator worker --agents MODULE`)."
        )
