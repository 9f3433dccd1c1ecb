"""What a gate has handed out, as the worker that runs it would know."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from typing import cast

import redis

from benchmarks.gate.ground import POOL
from orchestrator.admission.gate import Gate
from orchestrator.transport.envelope import PRIORITY_LEVELS, PRIORITY_SEPARATOR

#: Messages read at once.
_PAGE = 10_000


class Running:
    """Reads the gate's messages and remembers what runs, the first handed out first."""

    def __init__(self, client: redis.Redis, gate: Gate) -> None:
        self._client = client
        [queue] = gate.queues(POOL)
        self._lists = [
            f"{queue}{PRIORITY_SEPARATOR}{level}" if level else queue for level in PRIORITY_LEVELS
        ]
        self._running: deque[tuple[str, int]] = deque()

    def read(self) -> list[tuple[str, int]]:
        """Id and attempt of all that was handed out since the last look."""
        with self._client.pipeline(transaction=False) as pipe:
            for name in self._lists:
                pipe.rpop(name, _PAGE)
            found = cast(list[list[bytes] | None], pipe.execute())
        taken = [_attempt(text) for texts in found for text in texts or ()]
        self._running.extend(taken)
        return taken

    def end(self, count: int) -> Iterator[tuple[str, int]]:
        """So many attempts that run and are to end now, one after the other."""
        for _ in range(count):
            self.read()
            yield self._running.popleft()


def _attempt(text: bytes) -> tuple[str, int]:
    one, _, attempt = json.loads(text)["headers"]["id"].rpartition(".")
    return one, int(attempt)
