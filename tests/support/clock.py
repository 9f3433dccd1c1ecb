"""A gate whose clock the test sets, and which writes down what it tells others.

The probe takes the place of `lib/now.lua`: time comes from the key `clock`, and every message
and publication of a script goes to the list `journal` too, in the order in which they happened
and under a mark for the call they belong to.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

import redis

from orchestrator.admission.keys import key

PROBE = """
local now = tonumber(redis.call('GET', KEYS[1] .. ':clock'))
redis.call('RPUSH', KEYS[1] .. ':journal', '["call"]')
local redis = setmetatable({call = function(command, ...)
  if command == 'LPUSH' or command == 'PUBLISH' then
    redis.call('RPUSH', KEYS[1] .. ':journal', cjson.encode({command, ...}))
  end
  return redis.call(command, ...)
end}, {__index = redis})
"""

#: A message in as few words as say everything.
PLAIN_MESSAGE = """
local function message(id, attempt, agent, queue, level)
  return id .. ' ' .. attempt .. ' ' .. agent .. ' ' .. queue .. ' ' .. level
end
"""

#: Where tests begin: a date in milliseconds, with as many digits as a real one.
EPOCH = 1_800_000_000_000


@dataclass(frozen=True)
class Entry:
    """One thing that a script told others: `LPUSH` or `PUBLISH`, where, and what."""

    command: str
    target: str
    text: str


class Clock:
    """The clock of one gate that was built with the probe."""

    def __init__(self, client: redis.Redis, gate: str) -> None:
        self._client = client
        self._key = key(gate, "generation").replace("generation", "clock")
        self.now = EPOCH

    def set(self, now: int) -> None:
        """Let it be this time, in milliseconds."""
        self.now = now
        self._client.set(self._key, now)

    def advance(self, seconds: float) -> None:
        """Let this much time pass."""
        self.set(self.now + round(seconds * 1000))


def read_journal(lines: Iterable[str]) -> list[list[Entry]]:
    """What the list `journal` holds, by script call."""
    calls: list[list[Entry]] = []
    for line in lines:
        fields = json.loads(line)
        if fields == ["call"]:
            calls.append([])
        else:
            calls[-1].append(Entry(*fields))
    return calls
