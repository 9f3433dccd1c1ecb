"""The floors below the engine, with a point before and after each round trip."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
import redis
from psycopg.rows import dict_row

from orchestrator.admission.keys import hash_tag
from orchestrator.admission.scripts import Library, Script
from orchestrator.admission.shard import Shard
from orchestrator.admission.wire import pack, pack_head
from orchestrator.store.away import unavailable
from orchestrator.store.database import Connection, Database, to_libpq
from orchestrator.transport.notify import Callback, Notifier
from tests.simulation.chooser import Decision
from tests.simulation.clock import Clock
from tests.simulation.events import Event
from tests.simulation.scheduler import Scheduler

#: Before `lib/now.lua`: the server's time is what the simulator says, also where a key is to go by
#: itself; and what a script tells others is kept for the simulator, which is the broker and carries
#: publications too.
PROBE = """
local redis = setmetatable({}, {__index = redis})
do
  local call, server = getmetatable(redis).__index.call, nil
  server = tonumber(call('GET', KEYS[1] .. ':clock'))
  local expiries = KEYS[1] .. ':expiries'
  for _, gone in ipairs(call('ZRANGEBYSCORE', expiries, '-inf', server)) do
    call('DEL', gone)
    call('ZREM', expiries, gone)
  end
  redis.call = function(command, name, ...)
    if command == 'TIME' then
      return {tostring(math.floor(server / 1000)), tostring(server % 1000 * 1000)}
    end
    if command == 'LPUSH' or command == 'PUBLISH' then
      return call('RPUSH', KEYS[1] .. ':told', cjson.encode({command, name, ...}))
    end
    if command == 'PEXPIRE' and call('EXISTS', name) == 1 then
      call('ZADD', expiries, server + ..., name)
      return 1
    end
    local last = select('#', ...)
    if command == 'SET' and last > 2 and select(last - 1, ...) == 'PX' then
      local words = {...}
      local done = call(command, name, unpack(words, 1, last - 2))
      if done then call('ZADD', expiries, server + words[last], name) end
      return done
    end
    return call(command, name, ...)
  end
end
"""
#: A message in as few words as say everything.
MESSAGE = """
local function message(id, attempt, agent, queue, level)
  return id .. ' ' .. attempt .. ' ' .. level
end
"""

#: Where the methods are that all the others use.
_BASE = "/database.py"

Told = Callable[[str, str, str], None]


class SimulatedLibrary(Library):
    """The scripts, each with the probe."""

    def __init__(self) -> None:
        super().__init__(MESSAGE)
        self._pieces["now"] = PROBE + self._page("lib/now")

    def _page(self, name: str) -> str:
        text = super()._page(name)
        return text if name.startswith("lib/") else f"-- USES    now\n{text}"


class SimulatedShard(Shard):
    """A shard whose every round trip is a point."""

    def __init__(self, url: str, name: str, clock: Clock) -> None:
        super().__init__(url, name, timeout=30.0)
        self._clock = clock
        self._tag_text = hash_tag(name)
        told = f"{self._tag_text}:told"
        self._ears = [
            pack(pack_head("LRANGE"), 1, [told, 0, -1]),
            pack(pack_head("DEL"), 1, [told]),
        ]
        self.scheduler: Scheduler | None = None
        #: is given what a script tells others: command, where, and what
        self.on_told: Told = lambda _command, _target, _text: None

    def call(self, script: Script, calls: Sequence[list[object]]) -> list[Any]:
        """See `Shard`."""
        if script.name == "adopt":
            # Later than whatever its rows tell of, as it is where time passes by itself.
            self._clock.now += 1
        with self._trip(script.name):
            return super().call(script, calls)

    def ask(self, command: str, *arguments: Any) -> Any:
        """See `Shard`."""
        with self._trip(command):
            return super().ask(command, *arguments)

    def empty(self) -> None:
        """Lose everything."""
        self.redis.flushall()

    @contextmanager
    def _trip(self, name: str) -> Iterator[None]:
        label = f"gate {name}"
        if self.scheduler is None:
            yield
            return
        _raise_if("refuse", self.scheduler.point(label, "before"), redis.ConnectionError)
        yield
        _raise_if("lost", self.scheduler.point(label, "after"), redis.ConnectionError)

    def _evaluate(self, script: Script, calls: Sequence[list[object]]) -> list[Any]:
        head = pack_head("EVALSHA", script.sha, "1", self._tag_text)
        clock = pack(pack_head("SET"), 1, [f"{self._tag_text}:clock", self._clock.gate])
        commands = [clock, *(pack(head, 4, arguments) for arguments in calls), *self._ears]
        try:
            replies = self._wire.call_many(commands)
        except redis.exceptions.NoScriptError:
            self.redis.script_load(script.source)
            replies = self._wire.call_many(commands)
        for line in replies[-2]:
            self.on_told(*json.loads(line))
        return replies[1:-2]


class SimulatedDatabase(Database):
    """One connection for everybody: each use of it is a point before and a point after."""

    def __init__(self, url: str, clock: Clock) -> None:
        super().__init__(url)
        self._connection = psycopg.connect(
            to_libpq(url), autocommit=True, row_factory=dict_row, prepare_threshold=1
        )
        self._clock = clock
        self._told = 0
        self.scheduler: Scheduler | None = None

    def close(self) -> None:
        """See `Database`."""
        self._connection.close()
        super().close()

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """See `Database`."""
        if self.scheduler is None:
            yield self.at_its_time()
            return
        label = f"store {_verb()}"
        _raise_if("refuse", self.scheduler.point(label, "before"), _no_answer)
        yield self.at_its_time()
        _raise_if("lost", self.scheduler.point(label, "after"), _no_answer)

    def at_its_time(self) -> Connection:
        """The connection, when the server knows what time it is."""
        if self._told != self._clock.now:
            self._told = self._clock.now
            self._connection.execute(
                "SELECT set_config('simulation.now', %s, false)", [str(self._clock.now)]
            )
        return self._connection


def _no_answer(text: str) -> Exception:
    return unavailable(psycopg.OperationalError(text))


def _raise_if(kind: str, decision: Decision | None, error: Callable[[str], Exception]) -> None:
    if decision is not None and decision.kind == kind:
        raise error("simulated")


def _verb() -> str:
    """The method of the store that is being called."""
    frame = sys._getframe(2)
    while "/store/" not in frame.f_code.co_filename or frame.f_code.co_filename.endswith(_BASE):
        if frame.f_back is None:
            return "?"
        frame = frame.f_back
    return frame.f_code.co_name


class SimulatedNotifier(Notifier):
    """Publications within the simulator."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._heard: dict[str, list[Callback]] = {}

    def close(self) -> None:
        """See `Notifier`."""

    @contextmanager
    def listen(self, channels: Sequence[str], callback: Callback) -> Iterator[None]:
        """See `Notifier`."""
        for channel in channels:
            self._heard.setdefault(channel, []).append(callback)
        try:
            yield
        finally:
            for channel in channels:
                self._heard[channel].remove(callback)

    @contextmanager
    def bell(self, channels: Sequence[str]) -> Iterator[Any]:
        """See `Notifier`."""
        event = Event(self._scheduler)
        with self.listen(channels, lambda _text: event.set()):
            yield event

    def tell(self, channel: str, text: str) -> None:
        """Carry a publication to all who listen."""
        for callback in list(self._heard.get(channel, ())):
            callback(text)
