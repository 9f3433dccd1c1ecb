"""Reads everything a gate has in Redis, and says what a model's gate would have there."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from functools import cache
from typing import Any, cast

import redis

from orchestrator.admission import keys
from tests.support.gate_model import WINDOW, GateModel, Item

#: The names are asked for a million times.
key = cache(keys.key)

#: What a key holds: a string, a set, a hash or the scores of a sorted set, a list.
Value = str | set[str] | dict[str, str] | dict[str, float] | list[str]
Dump = dict[str, Value]

#: Everything in the server, in one look. Lists (those of the broker and the
#: journal) are emptied, as by a very fast worker.
_DUMP = """
local found = {}
for _, name in ipairs(redis.call('KEYS', '*')) do
  local kind = redis.call('TYPE', name).ok
  local value
  if kind == 'string' then
    local packed = string.find(name, ':call:', 1, true) or string.find(name, ':resource:', 1, true)
    local text = redis.call('GET', name)
    value = {packed and cjson.encode(cmsgpack.unpack(text)) or text}
  elseif kind == 'hash' then value = redis.call('HGETALL', name)
  elseif kind == 'set' then value = redis.call('SMEMBERS', name)
  elseif kind == 'zset' then value = redis.call('ZRANGE', name, 0, -1, 'WITHSCORES')
  else
    value = redis.call('LRANGE', name, 0, -1)
    if ARGV[1] == 'drain' then redis.call('DEL', name) end
  end
  found[#found + 1] = {name, kind, value}
end
-- As one text: redis-py takes its time over long lists.
return cjson.encode(found)
"""

#: Keys of the places where an instance can be.
PLACES = ("leases", "reserved", "held", "flow", "delayed", "suspended", "expired", "paused")

#: One step of a rank is one arrival, this many are one level; see `lua/lib/park.lua`.
SPAN = 2**44


def dump(client: redis.Redis, *, drain: bool = False) -> Dump:
    """All keys of the server."""
    text = cast(str, client.eval(_DUMP, 0, "drain" if drain else ""))
    return {name: _value(kind, value) for name, kind, value in json.loads(text)}


def _value(kind: str, value: list[str]) -> Value:
    # An empty table is an object for the server's JSON.
    value = value or []
    pairs = dict(zip(value[::2], value[1::2], strict=False))
    match kind:
        case "string":
            return value[0]
        case "hash":
            return pairs
        case "set":
            return set(value)
        case "zset":
            return {member: float(score) for member, score in pairs.items()}
        case _:
            return value


def expected(gate: str, model: GateModel) -> Dump:
    """The keys that the model's state stands for, without those that only speed things up."""
    wanted: defaultdict[str, Any] = defaultdict(dict)
    for item in model.items.values():
        wanted[key(gate, "instance", item.id)] = _hash(item)
        for name, score in _places(gate, item):
            wanted[name][item.id] = float(score)
        for name in (*slot_sets(gate, item), *_queue_sets(gate, item)):
            wanted[name] = {*wanted[name], item.id}
        _add_wait(gate, item, wanted)
        _add_urgency(gate, item, wanted)
    for worker, until in model.alive.items():
        wanted[key(gate, "workers")][worker] = float(until)
    for worker, offer in model.offers.items():
        wanted[key(gate, "worker", worker)] = {pool: str(count) for pool, count in offer.items()}
    wanted[key(gate, "config")] = {name: str(value) for name, value in model.config.items()}
    wanted[key(gate, "means")] = {name: _number(value) for name, value in model.means.items()}
    for window in {at // WINDOW for at, _ in model.left}:
        counts = Counter(tenant for at, tenant in model.left if at // WINDOW == window)
        fields = {"": counts.total(), **counts}
        wanted[key(gate, "drained", str(window))] = {
            name: str(count) for name, count in fields.items()
        }
    wanted[key(gate, "refusals")] = {code: str(count) for code, count in model.refusals.items()}
    wanted[key(gate, "sequence")] = str(model.arrivals) if model.arrivals else ""
    return {name: value for name, value in wanted.items() if value}


def _number(value: float | None) -> str:
    """As the gate writes it."""
    return "" if value is None else f"{value:.17g}"


def _hash(item: Item) -> dict[str, str]:
    fields = {
        "place": item.place,
        "attempt": str(item.attempt),
        "session": item.session,
        "tenant": item.tenant,
        "pool": item.pool,
        "agent": item.agent,
        "priority": str(item.priority),
        "thread": item.thread,
        "stop": item.stop,
        "cost": _number(item.cost),
        "expires": _number(item.expires),
        "preemptible": str(item.preemptible),
    }
    if item.paused:
        fields["paused"] = "1"
    if item.displaced is not None:
        fields["displaced"] = str(item.displaced)
    if item.since is not None:
        fields |= {
            "line": item.line,
            "class": _number(item.class_),
            "sequence": _number(item.sequence),
            "since": _number(item.since),
        }
    if item.held_since is not None:
        fields |= {"held_since": _number(item.held_since), "charge": _number(item.charge)}
    if item.not_before is not None:
        fields["not_before"] = str(item.not_before)
    if item.woken is not None:
        fields["woken"] = str(item.woken)
    if item.spent is not None:
        fields["spent"] = _number(item.spent)
    return fields


def _places(gate: str, item: Item) -> Iterable[tuple[str, float]]:
    """The sorted sets an instance stands in, and its score there."""
    if item.holds:
        yield key(gate, "leases"), item.until
    elif item.rank is not None:
        yield flow(gate, item), item.rank[0] * SPAN + item.rank[1]
    else:
        yield key(gate, item.place), item.until
    if item.is_in_line:
        yield key(gate, "backlog"), item.look


def _add_wait(gate: str, item: Item, wanted: defaultdict[str, Any]) -> None:
    """When it is woken, and by whose end."""
    if item.timer is not None:
        wanted[key(gate, "timers")][item.id] = float(item.timer)
    if item.needs is None:
        return
    wanted[key(gate, "wait", item.id)] = {
        "attempt": "0",
        "claim": "after",
        "kind": "after",
        "needs": str(item.needs),
        "since": str(item.held_at),
    }
    wanted[key(gate, "targets", item.id)] = set(item.targets)
    for target in item.targets:
        wanted[key(gate, "waiters", target)][item.id] = float(item.held_at)


def _add_urgency(gate: str, item: Item, wanted: defaultdict[str, Any]) -> None:
    """Whether it may displace others, or be displaced, or has been."""
    if item.candidate is not None:
        score = float(item.priority * SPAN + item.candidate)
        wanted[key(gate, "candidates", item.pool)][item.id] = score
    if item.stopping is not None:
        wanted[key(gate, "stopping")][item.id] = float(item.stopping)
    if item.urgent is not None:
        wanted[key(gate, "urgent")][item.id] = float(item.urgent[0] * SPAN + item.urgent[1])
    if item.promised is not None:
        wanted[key(gate, "promised")][item.id] = float(item.promised)


def _queue_sets(gate: str, item: Item) -> Iterable[str]:
    """The sets that count an instance against the queue bounds."""
    if item.is_in_line:
        yield key(gate, "backlog_tenant", item.tenant)
        yield key(gate, "backlog_session", item.tree)


def slot_sets(gate: str, item: Item) -> Iterable[str]:
    """The sets that count the slot of an instance, if it holds one."""
    if not item.holds:
        return
    yield key(gate, "slots_session", item.tree)
    yield key(gate, "slots_tenant", item.tenant)
    yield key(gate, "slots_agent", item.agent)
    yield key(gate, "slots_pool", item.pool)


def flow(gate: str, item: Item) -> str:
    """Where an instance waits in line."""
    return key(gate, "flow", f"{item.line} {item.tree}")


def state_of(gate: str, found: Dump) -> Dump:
    """A dump without what the gate keeps only for speed and what does not belong to it."""
    beside = [
        key(gate, name)
        for name in (
            "generation",
            "defaults",
            "pools",
            "flows",
            "capacity",
            "lines",
            "sessions",
            "tenants",
            "ready",
            "shares",
            "queue",
            "outbox",
        )
    ]
    beside += [key(gate, "generation").replace("generation", name) for name in ("clock", "journal")]
    return {name: value for name, value in found.items() if not name.startswith(tuple(beside))}


def differences(found: Dump, wanted: Dump) -> str:
    """Two dumps side by side where they differ; empty when they are the same."""
    return "\n".join(
        f"{name}: is {found.get(name)}, should be {wanted.get(name)}"
        for name in sorted({*found, *wanted})
        if not _are_same(found.get(name), wanted.get(name))
    )


def _are_same(found: Value | None, wanted: Value | None) -> bool:
    """Numbers are the same however they are written; servers differ in that."""
    if found == wanted:
        return True
    if not (isinstance(found, dict) and isinstance(wanted, dict)):
        return False
    return {name: _read(one) for name, one in found.items()} == {
        name: _read(one) for name, one in wanted.items()
    }


def _read(value: str | float) -> str | float:
    try:
        return float(value)
    except ValueError:
        return value


def check_slots(gate: str, found: Dump) -> None:
    """Held slots are live leases, and each counts once in every scope."""
    leases = sorted(found.get(key(gate, "leases"), ()))
    for scope in ("slots_session", "slots_tenant", "slots_agent", "slots_pool"):
        sets = (value for name, value in found.items() if name.startswith(key(gate, scope)))
        assert sorted(one for members in sets for one in members) == leases, f"{scope} is wrong"


def check_places(gate: str, found: Dump) -> None:
    """Every instance that the gate knows is in exactly one place."""
    names = tuple(key(gate, name) for name in PLACES)
    places = [one for name, value in found.items() if name.startswith(names) for one in value]
    prefix = key(gate, "instance")
    known = [name.removeprefix(prefix) for name in found if name.startswith(prefix)]
    assert sorted(places) == sorted(known), "an instance is nowhere, or in two places"


def check_capacity(gate: str, found: Dump, model: GateModel) -> None:
    """The sums of what workers offer are exact."""
    sums = cast(dict[str, str], found.get(key(gate, "capacity"), {}))
    pools = {pool for offer in model.offers.values() for pool in offer}
    assert {pool: model.capacity(pool) for pool in pools | set(sums)} == {
        pool: int(sums.get(pool, 0)) for pool in pools | set(sums)
    }, "the sum of what workers offer is wrong"
