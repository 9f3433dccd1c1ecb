"""What the gate must do, in a few plain lines for each script: the specification that the Lua is
held against. One method a script, with the script's own argument names; it answers what the
script must answer. Nothing here knows Redis.

Two things are left to the gate: how much of the handing out fits into one call (`allowance`;
whatever is left must be owed, see `owes`), and how it finds the next one to hand out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

#: Levels of urgency: smaller goes first. Returning ones stand ahead of new ones of their class.
Rank = tuple[int, int]

#: Where an instance belongs whose row is in this state.
PLACES = {"queued": "queued", "running": "dispatched", "waiting": "suspended"}

#: Where slots are limited, in the order in which a full one is named; last come the workers.
SCOPES = ("session", "tenant", "pool", "global")

#: Bounds of the work that one call does for others: (leases it ends, delayed ones it parks).
WORK = {
    "check_in": (4, 0),
    "release": (4, 2),
    "heartbeat": (8, 8),
}


@dataclass
class Item:
    """One instance that the gate knows. Times are in milliseconds."""

    id: str
    session: str
    tenant: str
    pool: str
    agent: str
    priority: int
    depth: int = 0
    parent: str = ""
    #: its own budget as JSON; what follows from it is in `budget_model.py`
    budget: str = ""
    attempt: int = 0
    #: admitted, dispatched (these two hold a slot); reserved, queued, delayed (these three count
    #: against the queue bounds); suspended; expired
    place: str = ""
    #: the worker whose thread waits to go on
    thread: str = ""
    #: why it has to stop
    stop: str = ""
    #: when the place ends: lease, delay, or time until the sweep looks again
    until: int = 0
    #: since when it is in line
    since: int | None = None
    #: where it stands in line
    rank: Rank | None = None

    @property
    def holds(self) -> bool:
        """Whether it holds a slot."""
        return self.place in ("admitted", "dispatched")

    def scope(self, name: str) -> tuple[str, ...]:
        """What it shares a limit with. Two tenants may have sessions of the same name."""
        if name == "session":
            return self.tenant, self.session
        return {"tenant": (self.tenant,), "global": ()}.get(name, (self.pool,))


@dataclass
class Told:
    """Something the gate has told others: `message`, `granted`, `done` or `stop`."""

    kind: str
    to: str
    id: str
    attempt: int = 0
    level: int = 0


@dataclass
class GateModel:
    """The gate's state and its scripts."""

    now: int
    config: dict[str, int] = field(default_factory=dict)
    items: dict[str, Item] = field(default_factory=dict)
    #: worker -> when it counts as gone, and what it offers to which pool
    alive: dict[str, int] = field(default_factory=dict)
    offers: dict[str, dict[str, int]] = field(default_factory=dict)
    refusals: Counter[str] = field(default_factory=Counter)
    arrivals: int = 0
    told: list[Told] = field(default_factory=list)
    #: how many the gate hands out in this call
    allowance: int = 0

    # --- a spawn --------------------------------------------------------------------------

    def check_in(
        self,
        *,
        id: str,  # noqa: A002  # the script's name for it
        depth: int,
        parent: str,
        parent_attempt: int,
        on_limit: str,
        **described: Any,
    ) -> list[str]:
        """Decide about one spawn."""
        if id in self.items:
            place = self.items[id].place
            return _verdict("admitted" if place == "admitted" else "queued")
        self._expire(WORK["check_in"][0])
        self._pump()
        if depth > self.config["max_depth"]:
            return self._refuse("MAX_DEPTH_EXCEEDED", "depth", self.config["max_depth"], depth, "")
        if parent and not self._may_spawn(parent, parent_attempt):
            return self._refuse("PARENT_ENDED", "parent", "", "", "")
        item = Item(id=id, depth=depth, parent=parent, **described)
        full = self._full_scope(item)
        if full is None:
            self._enter(item, "admitted", self.now + self.config["lease_ms"])
            return _verdict("admitted")
        retry = self.config["lease_ms"]
        if on_limit == "refuse":
            return self._refuse("CONCURRENT_LIMIT", *full, retry)
        for scope, used in (("global", self._backlog()), ("tenant", self._backlog(item.tenant))):
            limit = self.config[f"{scope}_queue"]
            if used >= limit:
                return self._refuse("QUEUE_FULL", scope, limit, used, retry)
        self._enter(item, "reserved", self.now + retry)
        return _verdict("queued", "", *full)

    def follow(self, *, id: str, attempt: int, **described: Any) -> list[str]:  # noqa: A002  # as above
        """Start a recorded spawn or put it in line."""
        item = self.items.get(id)
        if item and item.place == "admitted":
            self._hand_out(item)
            return [item.place]
        if (
            item is None
            or item.place == "reserved"
            or (item.place, item.attempt) == ("expired", attempt)
        ):
            item = Item(id=id, attempt=attempt, **described)
            self._park(item, again=attempt > 0)
            self._pump()
        return [item.place]

    def withdraw(self, *, id: str) -> None:  # noqa: A002  # as above
        """Give back what check-in held."""
        item = self.items.get(id)
        if item and item.place in ("admitted", "reserved"):
            del self.items[id]
            self._pump()

    # --- an attempt -----------------------------------------------------------------------

    def release(self, *, id: str, attempt: int) -> None:  # noqa: A002  # as above
        """The attempt that holds a place gives it up."""
        item = self.items.get(id)
        if item and item.attempt == attempt and _is_of_an_attempt(item):
            del self.items[id]
        self._tell("done", id, id)
        self._housekeep("release")

    def requeue(self, *, id: str, attempt: int, delay_ms: int, **described: Any) -> None:  # noqa: A002  # as above
        """Back in line after an attempt, unless a newer one is under way."""
        known = self.items.get(id)
        if known and (known.attempt > attempt or known.stop):
            return
        self._wait(Item(id=id, attempt=attempt, **described), delay_ms, again=True)
        self._pump()

    def suspend(self, *, id: str, attempt: int, worker: str) -> list[int]:  # noqa: A002  # as above
        """A running attempt waits without a slot."""
        item = self.items.get(id)
        if not item or item.attempt != attempt:
            return [0]
        if item.place == "suspended" and item.thread == worker:
            return [1]
        if item.place != "dispatched":
            return [0]
        item.thread = worker
        self._enter(item, "suspended", self.now + self.config["lease_ms"])
        self._pump()
        return [1]

    def resume(self, *, id: str, attempt: int) -> list[str]:  # noqa: A002  # as above
        """A suspended attempt wants a slot again, ahead of new work."""
        item = self.items.get(id)
        if item and item.place == "suspended" and item.attempt == attempt and not item.stop:
            self._park(item, again=True)
            self._pump()
        return [item.place, str(item.attempt)] if item else ["", "0"]

    def cancel(self, *, ids: Sequence[str]) -> None:
        """Take ended ones out of line; have those that run, or wait on a thread, stopped."""
        for one in ids:
            item = self.items.get(one)
            if item and (item.place == "dispatched" or item.thread):
                item.stop = "CANCELLED"
                self._tell("stop", one, one)
                if item.place == "queued":
                    self._enter(item, "suspended", self.now + self.config["lease_ms"])
            elif item:
                del self.items[one]
            self._tell("done", one, one)
        self._pump()

    def pump_now(self, *, budget: int) -> None:
        """Hand out what may run."""
        self._promote(budget)
        self._pump()

    # --- workers and housekeeping ---------------------------------------------------------

    def heartbeat(
        self, *, worker: str, pool: str, capacity: int, running: Sequence[Any]
    ) -> list[Any]:
        """Renew the leases of a worker; answers what is due next and whom it doubts."""
        offer = self.offers.setdefault(worker, {})
        if capacity != offer.get(pool, 0):  # to offer nothing is not to offer, at first
            offer[pool] = capacity
        self.alive[worker] = self.now + self.config["lease_ms"]
        doubtful = set()
        for one, attempt in zip(running[::2], running[1::2], strict=True):
            item = self.items.get(one)
            if not item or item.attempt != attempt or item.stop or item.place == "expired":
                doubtful.add(one)
            if item and item.attempt == attempt and item.place in ("dispatched", "suspended"):
                item.until = self.now + self.config["lease_ms"]
        self._housekeep("heartbeat")
        due = min((item.until for item in self._at("delayed")), default=None)
        return [-1 if due is None else max(0, due - self.now), *sorted(doubtful)]

    def leave(self, *, worker: str) -> str:
        """A worker takes no more work."""
        self.alive.pop(worker, None)
        self.offers.pop(worker, None)
        return ""

    def sweep(self, *, budget: int, hold_ms: int) -> list[Any]:
        """End what has run out; claim expired places for judgement."""
        self._expire(budget)
        self._promote(budget)
        self._pump()
        reply: list[Any] = []
        for item in self._due("expired", budget):
            item.until = self.now + hold_ms
            reply += [item.id, item.attempt]
        return reply

    def forget(self, *, id: str, attempt: int, recorded: int) -> str:  # noqa: A002  # as above
        """An expired place belongs to no live instance."""
        item = self.items.get(id)
        if item and item.place == "expired" and item.attempt == attempt:
            del self.items[id]
        self._tell("done", id, id)
        return ""

    def adopt(
        self,
        *,
        id: str,  # noqa: A002  # as above
        attempt: int,
        state: str,
        delay_ms: int,
        worker: str,
        **described: Any,
    ) -> str:
        """Learn of a live instance from its row, without asking for room."""
        known = self.items.get(id)
        if known and known.attempt > attempt:
            return known.place
        same = known if known and known.attempt == attempt else None
        if same and same.place == PLACES[state]:
            if same.place != "queued":
                same.until = self.now + self.config["lease_ms"]
            return same.place
        item = Item(id=id, attempt=attempt, stop=same.stop if same else "", **described)
        if state == "running":
            self._enter(item, "dispatched", self.now + self.config["lease_ms"])
        elif state == "waiting":
            item.thread = worker
            self._enter(item, "suspended", self.now + self.config["lease_ms"])
        else:
            self._wait(item, delay_ms, again=attempt > 0)
        return item.place

    def unknown(self, *, ids: Sequence[str]) -> list[str]:
        """Those that the gate does not know."""
        return [one for one in ids if one not in self.items]

    def glance(self, *, id: str) -> list[str]:  # noqa: A002  # as above
        """Where an instance is."""
        item = self.items.get(id)
        return [item.place, str(item.attempt), item.stop] if item else ["", "0", ""]

    def configure(self, *, fields: Sequence[Any]) -> str:
        """Limits and times."""
        self.config |= dict(zip(fields[::2], fields[1::2], strict=True))
        return ""

    def refresh_flows(self, *, cursor: str, count: int) -> list[str]:
        """Hand out what has room by new limits; answers where to go on, `0` at the end."""
        self._pump()
        return ["0"]

    # --- what holds between calls ---------------------------------------------------------

    def owed(self) -> Item | None:
        """The one that should run next: the first in line for whom there is room everywhere."""
        free = [item for item in self._at("queued") if self._full_scope(item) is None]
        return min(free, key=lambda item: item.rank or (0, 0), default=None)

    def capacity(self, pool: str) -> int:
        """What all workers offer to a pool."""
        return sum(offer.get(pool, 0) for offer in self.offers.values())

    def used(self, scope: str, item: Item) -> int:
        """How many slots are held in this scope around an instance."""
        around = item.scope(scope)
        return sum(other.holds and other.scope(scope) == around for other in self.items.values())

    # --- the pieces -----------------------------------------------------------------------

    def _full_scope(self, item: Item) -> tuple[str, int, int] | None:
        slots = {scope: self.config[scope] for scope in SCOPES} | {
            "workers": self.capacity(item.pool)
        }
        for scope, limit in slots.items():
            used = self.used(scope, item)
            if used >= limit:
                return scope, limit, used
        return None

    def _backlog(self, tenant: str | None = None) -> int:
        waiting = [item for item in self.items.values() if item.since is not None]
        return sum(tenant in (None, item.tenant) for item in waiting)

    def _may_spawn(self, parent: str, attempt: int) -> bool:
        known = self.items.get(parent)
        return known is not None and not known.stop and known.attempt == attempt

    def _refuse(self, code: str, *rest: object) -> list[str]:
        self.refusals[code] += 1
        return _verdict("refused", code, *rest)

    def _enter(self, item: Item, place: str, until: int) -> None:
        item.place, item.until, item.rank = place, until, None
        in_line = place in ("reserved", "delayed", "queued")
        item.since = (self.now if item.since is None else item.since) if in_line else None
        self.items[item.id] = item

    def _park(self, item: Item, again: bool) -> None:
        self._enter(item, "queued", 0)
        self.arrivals += 1
        item.rank = (item.priority * 2 + (not again), self.arrivals)

    def _wait(self, item: Item, delay_ms: int, again: bool) -> None:
        if delay_ms > 0:
            self._enter(item, "delayed", self.now + delay_ms)
        else:
            self._park(item, again)

    def _hand_out(self, item: Item) -> None:
        level = item.priority * 2 + (item.attempt == 0)
        item.attempt += 1
        self._enter(item, "dispatched", self.now + self.config["dispatch_ms"])
        if item.thread:
            self._tell("granted", item.thread, item.id, item.attempt)
        else:
            self._tell("message", item.pool, item.id, item.attempt, level)

    def _pump(self) -> None:
        while self.allowance and (item := self.owed()):
            self.allowance -= 1
            self._hand_out(item)

    def _promote(self, budget: int) -> None:
        for item in self._due("delayed", budget):
            self._park(item, again=True)

    def _expire(self, budget: int) -> None:
        for places in (("admitted", "dispatched"), ("reserved",), ("suspended",)):
            for item in self._due(places, budget):
                self._enter(item, "expired", self.now)
        gone = sorted((until, name) for name, until in self.alive.items() if until <= self.now)
        for _, worker in gone[:budget]:
            self.leave(worker=worker)

    def _housekeep(self, script: str) -> None:
        leases, delayed = WORK[script]
        self._expire(leases)
        self._promote(delayed)
        self._pump()

    def _at(self, *places: str) -> Iterable[Item]:
        return (item for item in self.items.values() if item.place in places)

    def _due(self, places: str | tuple[str, ...], budget: int) -> list[Item]:
        places = (places,) if isinstance(places, str) else places
        due = [item for item in self._at(*places) if item.until <= self.now]
        return sorted(due, key=lambda item: (item.until, item.id))[:budget]

    def _tell(self, kind: str, to: str, id: str, attempt: int = 0, level: int = 0) -> None:  # noqa: A002  # as above
        self.told.append(Told(kind, to, id, attempt, level))


def _is_of_an_attempt(item: Item) -> bool:
    """Whether an attempt stands behind the place: it runs, waits, or ran out. One in line has
    none, unless a thread waits there to go on."""
    return item.place in ("dispatched", "suspended", "expired") or (
        item.place == "queued" and bool(item.thread)
    )


def _verdict(decision: str, refusal: str = "", *rest: object) -> list[str]:
    scope, limit, used, retry_after = [*map(str, rest), "", "", "", ""][:4]
    return [decision, refusal, scope, limit, used, retry_after]
