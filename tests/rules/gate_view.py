"""What a gate holds, read from Redis in one look."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, cast

import redis

from orchestrator.admission.keys import hash_tag, key

#: A scope of slots and its name; a session's is its tree, see `lua/lib/entry.lua`.
Scope = tuple[str, str]


@dataclass(frozen=True)
class Place:
    """What the gate knows of one instance. Times are milliseconds of the server's clock."""

    place: str
    attempt: int = 0
    session: str = ""
    tenant: str = ""
    pool: str = "default"
    agent: str = ""
    #: the worker whose thread stays with it while it waits
    thread: str = ""
    #: whether it was told to stop
    stop: bool = False
    #: since when it has its slot
    held_since: int | None = None

    def scopes(self) -> tuple[Scope, ...]:
        """The scopes in which its slot counts."""
        tree = f"{len(self.tenant.encode())} {self.tenant}{self.session}"
        return (
            ("session", tree),
            ("tenant", self.tenant),
            ("agent", self.agent),
            ("pool", self.pool),
        )


@dataclass(frozen=True)
class Waiting:
    """An open wait: it is over when `needs` of its targets are. Of locks, see `holders`."""

    needs: int
    targets: frozenset[str]


@dataclass(frozen=True)
class GateView:
    """A gate at one moment."""

    #: whether it decides; False while it is empty or being filled
    is_open: bool = True
    #: the server's clock, in milliseconds
    now: int = 0
    places: Mapping[str, Place] = field(default_factory=dict)
    #: id -> until when its slot is its own
    leases: Mapping[str, int] = field(default_factory=dict)
    #: the ids that count in each scope
    slots: Mapping[Scope, frozenset[str]] = field(default_factory=dict)
    #: place -> ids there: `queued` (in a line), `reserved`, `held`, `delayed`, `suspended`, ...
    standing: Mapping[str, frozenset[str]] = field(default_factory=dict)
    #: ids that count against the queue bounds
    backlog: frozenset[str] = frozenset()
    #: id -> its open wait
    waits: Mapping[str, Waiting] = field(default_factory=dict)
    #: lock -> the instance that holds it
    holders: Mapping[str, str] = field(default_factory=dict)
    #: waits that were too large to be looked at when they began
    unchecked: frozenset[str] = frozenset()
    #: messages in the queues of the broker that call workers to instances
    messages: int = 0
    #: resource -> calls under way
    calls: Mapping[str, int] = field(default_factory=dict)
    #: names of keys about instances, waits, locks, calls and budgets that are held now
    remains: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The view as JSON."""
        slots = {" ".join(scope): sorted(ids) for scope, ids in self.slots.items()}
        return asdict(self) | {"slots": slots}


#: In the names of queues for what asks nobody for a slot: the beats' rounds, workers' canaries.
BESIDE = ("housekeeping", ".canary.")
#: Keys that say nothing of what is held, and there may be very many.
_PASSED_OVER = (":call:", ":resource:", ":bucket:", ":shares", ":drained:", ":rounds:", ":means")
_LOOK = """
local found = {}
for _, name in ipairs(redis.call('KEYS', '*')) do
  local wanted = string.sub(name, 1, #ARGV[1]) == ARGV[1]
  for i = 2, #ARGV do
    if string.find(name, ARGV[i], 1, true) then wanted = false end
  end
  if wanted then
    local kind = redis.call('TYPE', name).ok
    local value
    if kind == 'string' then value = {redis.call('GET', name)}
    elseif kind == 'hash' then value = redis.call('HGETALL', name)
    elseif kind == 'set' then value = redis.call('SMEMBERS', name)
    elseif kind == 'zset' then value = redis.call('ZRANGE', name, 0, -1, 'WITHSCORES')
    else value = {tostring(redis.call('LLEN', name))} end
    found[#found + 1] = {name, kind, value}
  end
end
local time = redis.call('TIME')
return cjson.encode({found, time[1] .. ' ' .. time[2]})
"""

#: Sorted sets and sets of ids, by the place they stand for.
_STANDING = ("reserved", "held", "delayed", "suspended", "expired", "paused")
#: What must be gone when nothing lives any more.
_HELD = (
    *("instance", "leases", "slots_session", "slots_tenant", "slots_agent", "slots_pool"),
    *("candidates", "stopping", "urgent", "promised", "reserved", "backlog", "backlog_tenant"),
    *("backlog_session", "flow", "delayed", "paused", "suspended", "held", "timers", "ended"),
    *("expired", "wait", "targets", "waiters", "unchecked", "blocked", "stalled", "holder"),
    *("locks", "account_live", "account_of", "account_call", "account_calls", "calls", "probes"),
    *("tickets", "ticket_ends"),
)

Dump = Mapping[str, Any]


def look(client: redis.Redis, gate: str) -> GateView:
    """The gate of this name, at one moment."""
    text = cast(str, client.eval(_LOOK, 0, hash_tag(gate), *_PASSED_OVER))
    found, time = json.loads(text)
    seconds, micros = map(int, time.split())
    keys = {name: _value(kind, value) for name, kind, value in found}
    return view_of(gate, keys, seconds * 1000 + micros // 1000)


def _value(kind: str, value: Any) -> Any:
    value = value or []  # An empty table is an object for the server's JSON.
    match kind:
        case "hash":
            return dict(zip(value[::2], value[1::2], strict=True))
        case "zset":
            return {one: float(score) for one, score in zip(value[::2], value[1::2], strict=True)}
        case "set":
            return frozenset(value)
        case "list":
            return int(value[0])
        case _:
            return value[0]


def view_of(gate: str, keys: Dump, now: int) -> GateView:
    """The view of a gate with these keys."""
    families = _families(gate, keys)

    def of(name: str) -> Dump:
        return families.get(name, {})

    def ids(name: str) -> frozenset[str]:
        return frozenset(one for members in of(name).values() for one in members)

    return GateView(
        is_open="" in of("generation"),
        now=now,
        places={one: _place(fields) for one, fields in of("instance").items()},
        leases={one: int(until) for one, until in of("leases").get("", {}).items()},
        slots={
            (kind, name): frozenset(members)
            for kind in ("session", "tenant", "agent", "pool")
            for name, members in of(f"slots_{kind}").items()
        },
        standing={"queued": ids("flow")} | {name: ids(name) for name in _STANDING},
        backlog=ids("backlog"),
        waits={
            one: Waiting(int(fields["needs"]), frozenset(of("targets").get(one, ())))
            for one, fields in of("wait").items()
            if "needs" in fields
        },
        holders={name: fields["holder"] for name, fields in of("holder").items()},
        unchecked=ids("unchecked"),
        messages=sum(
            count
            for name, count in of("queue").items()
            if isinstance(count, int) and not any(word in name for word in BESIDE)
        ),
        calls={scope: len(calls) for scope, calls in of("calls").items()},
        remains=_remains(gate, families),
    )


def _place(fields: Mapping[str, str]) -> Place:
    since = fields.get("held_since")
    return Place(
        place=fields.get("place", ""),
        attempt=int(fields.get("attempt") or 0),
        session=fields.get("session", ""),
        tenant=fields.get("tenant", ""),
        pool=fields.get("pool", ""),
        agent=fields.get("agent", ""),
        thread=fields.get("thread", ""),
        stop=bool(fields.get("stop")),
        held_since=int(float(since)) if since else None,
    )


#: Names in `keys.py` that are read here.
_READ = (*_HELD, "generation", "queue")


def _families(gate: str, keys: Dump) -> dict[str, dict[str, Any]]:
    """The keys by what they are, and then by what their names end with."""
    # The longest first: `:wait:` is not `:waiters:`, and `:backlog` begins `:backlog:tenant:`.
    names = sorted(_READ, key=lambda name: -len(key(gate, name)))
    found: defaultdict[str, dict[str, Any]] = defaultdict(dict)
    for full, value in keys.items():
        for name in names:
            start = key(gate, name)
            if full == start or (full.startswith(start) and start[-1] in ":."):
                found[name][full.removeprefix(start)] = value
                break
    return found


def _remains(gate: str, families: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    return tuple(key(gate, name, end) for name in _HELD for end in families.get(name, ()))
