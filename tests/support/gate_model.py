"""What the gate must do, in a few plain lines for each script: the specification that the Lua is
held against. One method a script, with the script's own argument names; it answers what the
script must answer. Nothing here knows Redis.

Two things are left to the gate: how much of the handing out fits into one call (`allowance`;
whatever is left must be owed, see `owes`), and how it finds the next one to hand out.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.support.displacing import next_victim

#: Levels of urgency: smaller goes first. Returning ones stand ahead of new ones of their class.
Rank = tuple[int, int]

#: A class and a tag are one score; see `lua/lib/share.lua`.
CLASS = 2.0**46

NEVER = float("inf")

#: Where an instance belongs whose row is in this state.
PLACES = {"queued": "queued", "running": "dispatched", "waiting": "suspended"}

#: Where slots are limited, in the order in which a full one is named; last come the workers.
SCOPES = ("session", "tenant", "agent", "pool", "global")

#: Bounds of the work that one call does for others: (leases it ends, delayed ones it parks).
WORK: dict[str, tuple[int, int]] = {
    "check_in": (4, 0),
    "release": (4, 2),
    "heartbeat": (8, 8),
}

#: Milliseconds over which departures from the queue are counted.
WINDOW = 10_000


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
    #: what it may cost, if somebody said so
    cost: float | None = None
    #: whether something more urgent may displace it
    preemptible: int = 1
    #: when its waiting ends if it has not been handed out by then
    expires: int | None = None
    attempt: int = 0
    #: admitted, dispatched (these two hold a slot); reserved, held, queued, delayed (these four
    #: count against the queue bounds); suspended; expired
    place: str = ""
    #: the worker whose thread waits to go on
    thread: str = ""
    #: why it has to stop
    stop: str = ""
    #: when the place ends: lease, delay, or time until the sweep looks again
    until: float = 0
    #: when it is woken if nothing else does so before
    timer: int | None = None
    #: the attempt that was woken before it slept
    woken: int | None = None
    #: of one that is held: for how many of whom it waits, since when, and when it may start
    needs: int | None = None
    targets: set[str] = field(default_factory=set)
    held_at: int = 0
    not_before: int | None = None
    #: what the gate keeps of its last time in line: which, its class, its number of arrival, when
    line: str = ""
    class_: int | None = None
    sequence: int | None = None
    since: int | None = None
    #: whether it is to be put aside instead of into line
    paused: bool = False
    #: where it stands in line, and when somebody has to look at it
    rank: Rank | None = None
    look: float = NEVER
    #: since when it holds its slot, what its flow was charged, and what its calls have reported
    held_since: int | None = None
    charge: float | None = None
    spent: int | None = None
    #: whether it may be displaced now, and since when; since when it is to stop; the attempt that
    #: was displaced
    candidate: int | None = None
    stopping: int | None = None
    displaced: int | None = None
    #: where it stands among those that may displace others; since when somebody gives way to it
    urgent: Rank | None = None
    promised: int | None = None

    @property
    def holds(self) -> bool:
        """Whether it holds a slot."""
        return self.place in ("admitted", "dispatched")

    @property
    def is_in_line(self) -> bool:
        """Whether it counts against the queue bounds."""
        return self.place in ("reserved", "held", "delayed", "queued")

    @property
    def has_lease(self) -> bool:
        """Whether its worker keeps it alive."""
        return self.place == "dispatched" or (self.place == "suspended" and not self.is_asleep)

    @property
    def is_asleep(self) -> bool:
        """Whether it waits with nobody there."""
        return self.place == "held" or (self.place == "suspended" and not self.thread)

    def scope(self, name: str) -> tuple[str, ...]:
        """What it shares a limit with. Two tenants may have sessions of the same name."""
        if name == "session":
            return self.tenant, self.session
        return {"tenant": (self.tenant,), "agent": (self.agent,), "global": ()}.get(
            name, (self.pool,)
        )

    @property
    def tree(self) -> str:
        """The name of its session that no session of another tenant has."""
        return f"{len(self.tenant.encode())} {self.tenant}{self.session}"


@dataclass
class Shares:
    """Who is next among those who want the same, for each class of urgency."""

    #: the arrival that began it
    period: int
    tags: dict[tuple[int, str], float] = field(default_factory=dict)
    virtual: dict[int, float] = field(default_factory=dict)
    #: when a member was served, or one of it was raised, last
    served: dict[tuple[int, str], int] = field(default_factory=dict)
    #: who is ready, and in which class
    ready: dict[str, int] = field(default_factory=dict)

    def score(self, name: str) -> float:
        """A member's place among those who are ready."""
        class_ = self.ready[name]
        return class_ * CLASS + self.tags[class_, name]

    def stand(self, name: str, class_: int | None, is_new: bool) -> None:
        """A member is ready in this class now, or is not."""
        if class_ is None:
            self.ready.pop(name, None)
            return
        if self.ready.get(name) != class_:
            self._lift(class_, name, is_new)
        self.ready[name] = class_

    def _lift(self, class_: int, name: str, is_new: bool) -> None:
        virtual = self.virtual.get(class_, 0.0)
        if self.tags.get((class_, name), -1.0) <= virtual:
            self.tags[class_, name] = virtual
            self.virtual[class_] = virtual + is_new

    def charge(self, class_: int, name: str, amount: float) -> None:
        """A member is served."""
        start = self.tags[class_, name]
        self.virtual[class_] = max(self.virtual.get(class_, 0.0), start)
        self.tags[class_, name] = start + amount

    def correct(self, class_: int, name: str, amount: float, sequence: int) -> None:
        """What it cost has become known."""
        if self.period <= sequence and (class_, name) in self.tags:
            self.tags[class_, name] = max(0.0, self.tags[class_, name] + amount)


@dataclass
class Told:
    """Something told to others: `message`, `granted`, `done`, `due`, `displace` or `stop`."""

    kind: str
    to: str
    id: str
    attempt: int = 0
    level: int = 0


@dataclass
class GateModel:
    """The gate's state and its scripts."""

    now: int
    config: dict[str, Any] = field(default_factory=dict)
    items: dict[str, Item] = field(default_factory=dict)
    #: worker -> when it counts as gone, and what it offers to which pool
    alive: dict[str, int] = field(default_factory=dict)
    offers: dict[str, dict[str, int]] = field(default_factory=dict)
    refusals: Counter[str] = field(default_factory=Counter)
    arrivals: int = 0
    #: the tags of lines, and where the last one was served; the tenants of each line; the sessions
    #: of each tenant in each line
    line_tags: dict[str, float] = field(default_factory=dict)
    line_time: float = 0.0
    tenants: dict[str, Shares] = field(default_factory=dict)
    sessions: dict[tuple[str, str], Shares] = field(default_factory=dict)
    #: averages of what kinds took, and who left the queue when
    means: dict[str, float] = field(default_factory=dict)
    left: list[tuple[int, str]] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    #: how many the gate hands out in this call, and how many it tells to give way
    allowance: int = 0
    displacements: int = 0

    # --- a spawn --------------------------------------------------------------------------

    def check_in(
        self,
        *,
        id: str,  # noqa: A002  # the script's name for it
        depth: int,
        parent: str,
        parent_attempt: int,
        on_limit: str,
        delay_ms: int,
        held: int,
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
        is_later = delay_ms > 0 or held
        if full is None and not is_later:
            self._enter(item, "admitted", self.now + self.config["lease_ms"])
            self._refresh()
            return _verdict("admitted")
        full = full or ("queue", 0, 0)
        if on_limit == "refuse" and not is_later:
            refusal = self._refuse("CONCURRENT_LIMIT", *full, self._slot_wait(item.agent, full[2]))
            return refusal + self.holders(full[0], item)
        for scope, around in (("global", ""), ("tenant", item.tenant), ("session", item.tree)):
            limit, queued = self.config[f"{scope}_queue"], self._backlog(scope, around)
            if queued >= limit:
                name = item.tenant if scope == "session" else around
                retry = self._drain_wait(name, queued - limit + 1)
                return self._refuse("QUEUE_FULL", scope, limit, queued, retry)
        self._enter(item, "reserved", self.now + self.config["lease_ms"])
        return _verdict("queued", "", *full)

    def follow(
        self,
        *,
        id: str,  # noqa: A002  # as above
        attempt: int,
        cost: Any,
        delay_ms: int,
        ttl_ms: int,
        **described: Any,
    ) -> list[str]:
        """Start a recorded spawn or put it in line."""
        item = self.items.get(id)
        if item and item.place == "admitted":
            self._hand_out(item, None)
            return [item.place]
        if (
            item is None
            or item.place == "reserved"
            or (item.place == "expired" and item.attempt == attempt and item.expires is None)
        ):
            item = self._leave(item) if item else Item(id=id, **described)
            item.attempt, item.cost = attempt, None if cost == "" else float(cost)
            item.expires = self.now + ttl_ms if ttl_ms > 0 else None
            self._wait(item, delay_ms, again=attempt > 0)
            if delay_ms <= 0:
                self._pump()
        return [item.place]

    def hold(
        self,
        *,
        id: str,  # noqa: A002  # as above
        cost: Any,
        delay_ms: int,
        ttl_ms: int,
        needs: int,
        targets: Sequence[str],
        **described: Any,
    ) -> list[str]:
        """A recorded spawn waits for others before it starts."""
        item = self.items.get(id)
        if item and not (item.attempt == 0 and item.place in ("reserved", "expired")):
            return [item.place]
        item = self._leave(item) if item else Item(id=id, **described)
        item.attempt, item.cost = 0, None if cost == "" else float(cost)
        item.expires = self.now + ttl_ms if ttl_ms > 0 else None
        if min(needs, len(targets)) > 0:
            item.needs, item.targets = min(needs, len(targets)), set(targets)
            item.held_at = self.now
            item.not_before = self.now + delay_ms if delay_ms > 0 else item.not_before
            self._enter(item, "held", self.now)
        else:
            self._wait(item, delay_ms, again=False)
        self._pump()
        return [item.place]

    def withdraw(self, *, id: str) -> None:  # noqa: A002  # as above
        """Give back what check-in held."""
        item = self.items.get(id)
        has_run_out = item and (item.place, item.attempt) == ("expired", 0)
        if item and (has_run_out or item.place in ("admitted", "reserved")):
            self._drop(item)
            self._pump()

    # --- an attempt -----------------------------------------------------------------------

    def release(self, *, id: str, attempt: int, ended: int) -> None:  # noqa: A002  # as above
        """The attempt that holds a place gives it up."""
        item = self.items.get(id)
        holds = item and item.attempt == attempt and _is_of_an_attempt(item)
        if item and holds and (ended or not item.is_asleep):
            self._drop(item)
        self._end([id] if ended else [])
        self._housekeep("release")

    def requeue(
        self,
        *,
        id: str,  # noqa: A002  # as above
        attempt: int,
        cost: Any,
        delay_ms: int,
        **described: Any,
    ) -> None:
        """Back in line after an attempt, unless a newer one is under way."""
        item = self.items.get(id)
        if item and (item.attempt > attempt or item.stop):
            return
        if item:
            self._leave(item)
        else:
            item = Item(id=id, cost=None if cost == "" else float(cost), **described)
        item.attempt, item.thread = attempt, ""
        self._wait(item, delay_ms, again=True)
        self._pump()

    def suspend(
        self,
        *,
        id: str,  # noqa: A002  # as above
        attempt: int,
        worker: str,
        wake_ms: Any,
        ready: int,
        ended: Sequence[str],
    ) -> list[int]:
        """A running attempt waits without a slot, with a thread or asleep."""
        item = self.items.get(id)
        if not item or item.attempt != attempt:
            return [0]
        if item.thread == worker and (
            item.place == "suspended" or (item.place == "queued" and not worker)
        ):
            return [1]
        if item.place != "dispatched":
            return [0]
        if item.stop and not worker:
            self._drop(item)
        elif worker:
            self._leave(item)
            item.thread = worker
            self._enter(item, "suspended", self.now + self.config["lease_ms"])
        else:
            self._leave(item)
            self._doze(item, NEVER if wake_ms == "" else wake_ms, bool(ready))
        self._pump()
        return [1]

    def _doze(self, item: Item, wake_ms: float, is_ready: bool) -> None:
        self._enter(item, "suspended", NEVER)
        item.thread = ""
        if is_ready or wake_ms <= 0 or item.woken == item.attempt:
            self._rouse(item)
        elif wake_ms < NEVER:
            item.timer = self.now + int(wake_ms)
            timers = [(one.timer, one.id) for one in self.items.values() if one.timer is not None]
            self._hint(item, timers, int(wake_ms))

    def _rouse(self, item: Item) -> None:
        later = item.not_before if item.place == "held" else None
        item.needs, item.targets = None, set()
        self._wait(item, (later or 0) - self.now, again=item.attempt > 0)

    def wake(self, *, ids: Sequence[str]) -> None:
        """What they wait for may be here."""
        for one in ids:
            item = self.items.get(one)
            if item and item.is_asleep:
                self._rouse(item)
            elif item and item.place == "dispatched":
                item.woken = item.attempt
        self._pump()

    def tell_ended(self, *, ids: Sequence[str]) -> None:
        """These have ended, as PostgreSQL knows."""
        self._end(ids)
        self._pump()

    def _end(self, ids: Sequence[str]) -> None:
        """They have ended for good: who is held for them is so no more."""
        for one in ids:
            self._tell("done", one, one)
        self._release_held(ids)

    def _release_held(self, ids: Sequence[str]) -> None:
        for target in sorted(ids):
            waiting = [item for item in self.items.values() if target in item.targets]
            for item in sorted(waiting, key=lambda item: (item.held_at, item.id)):
                item.targets.discard(target)
                assert item.needs is not None
                item.needs -= 1
                if not item.needs:
                    self._rouse(item)

    def resume(self, *, id: str, attempt: int) -> list[str]:  # noqa: A002  # as above
        """A suspended attempt wants a slot again, ahead of new work."""
        item = self.items.get(id)
        if item and item.place == "suspended" and item.attempt == attempt and not item.stop:
            self._park(item, again=item.attempt > 0)
            self._pump()
        return [item.place, str(item.attempt)] if item else ["", "0"]

    def cancel(self, *, ids: Sequence[str]) -> None:
        """Take ended ones out of line; have those that run, or wait on a thread, stopped."""
        for one in ids:
            item = self.items.get(one)
            if item and (item.place == "dispatched" or item.thread):
                item.stop = "CANCELLED"
                if item.place == "dispatched":
                    item.stopping = self.now if item.stopping is None else item.stopping
                    item.candidate = None
                self._tell("stop", one, one)
                if item.place == "queued":
                    self._leave(item)
                    self._enter(item, "suspended", self.now + self.config["lease_ms"])
            elif item:
                self._drop(item)
            self._tell("done", one, one)
        self._release_held(ids)
        self._pump()

    def pause(self, *, ids: Sequence[str]) -> str:
        """Take some out of line, and keep them out of it."""
        for one in ids:
            item = self.items.get(one)
            if item:
                item.paused = True
                if item.place == "queued" and not item.thread:
                    self._leave(item)
                    self._enter(item, "paused", self.now)
        return ""

    def unpause(self, *, ids: Sequence[str]) -> None:
        """Let them into line again."""
        for one in ids:
            item = self.items.get(one)
            if item:
                item.paused = False
                if item.place == "paused":
                    self._park(item, again=item.attempt > 0)
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
        doubtful, displaced, unheld = set(), [], set()
        for one, attempt in zip(running[::2], running[1::2], strict=True):
            item = self.items.get(one)
            if not item or item.attempt != attempt or item.stop or item.place == "expired":
                doubtful.add(one)
            elif item.displaced == attempt and item.place == "dispatched":
                displaced.append(one)
            if item and item.attempt == attempt and item.has_lease:
                item.until = self.now + self.config["lease_ms"]
            else:
                unheld.add(one)
        self._housekeep("heartbeat")
        dues = [item.until for item in self._at("delayed")]
        dues += [item.timer for item in self.items.values() if item.timer is not None]
        due = min(dues, default=None)
        left = -1 if due is None else max(0, due - self.now)
        return [left, displaced, sorted(doubtful), sorted(unheld)]

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
            late = item.attempt == 0 and item.expires is not None and item.expires <= self.now
            reply += [item.id, item.attempt, "QUEUE_TIMEOUT" if late else ""]
        return reply

    def forget(self, *, id: str, attempt: int, recorded: int, ended: int) -> None:  # noqa: A002  # as above
        """An expired place belongs to no live instance."""
        item = self.items.get(id)
        if item and item.place == "expired" and item.attempt == attempt:
            self._drop(item)
        self._end([id] if ended else [])
        self._pump()

    def adopt(
        self,
        *,
        id: str,  # noqa: A002  # as above
        attempt: int,
        cost: Any,
        state: str,
        delay_ms: int,
        ttl_ms: int,
        worker: str,
        wait: str,
        **described: Any,
    ) -> str:
        """Learn of a live instance from its row, without asking for room."""
        known = self.items.get(id)
        if known and known.attempt > attempt:
            return known.place
        same = known if known and known.attempt == attempt else None
        sleeps = json.loads(wait or "{}") if state == "waiting" else {}
        if same and same.place == PLACES[state]:
            if same.has_lease:
                same.until = self.now + self.config["lease_ms"]
            return same.place
        if sleeps and same and not same.thread and same.place not in ("reserved", "expired"):
            return same.place
        item = self._leave(known) if known else Item(id=id, **described)
        item.attempt, item.stop = attempt, item.stop if same else ""
        item.cost = None if cost == "" else float(cost)
        item.thread = worker if state == "waiting" and not sleeps else ""
        item.expires = self.now + ttl_ms if ttl_ms > 0 else None
        if state == "running":
            item.held_since, item.charge = self.now, None
            self._enter(item, "dispatched", self.now + self.config["lease_ms"])
            item.candidate = self.now if item.preemptible else None
            self._refresh()
        elif sleeps:
            self._doze(item, sleeps.get("wake_ms", NEVER), is_ready=False)
        elif state == "waiting":
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
        self._refresh()
        self._pump()
        return ["0"]

    # --- what holds between calls ---------------------------------------------------------

    def owed(self) -> Item | None:
        """The one that should run next: the first in line for whom there is room everywhere.

        First by class; then the line, the tenant in it and the session of that whose turn it is;
        then those who return; then by arrival.
        """
        free = [item for item in self._at("queued") if self._full_scope(item) is None]
        first = min(free, key=self._turn, default=None)
        promised = [(item.promised, item.id) for item in free if item.promised is not None]
        for _, one in sorted(promised):
            # Who was made more urgent by waiting does not take what was freed for somebody else.
            if first and self.items[one].priority < first.priority:
                return self.items[one]
        return first

    def _turn(self, item: Item) -> tuple[Any, ...]:
        tenants, sessions = self.tenants[item.line], self.sessions[item.line, item.tenant]
        leaders = sorted(tenants.ready, key=lambda name: (tenants.score(name), name.encode()))
        class_ = tenants.ready[leaders[0]]
        return (
            (class_ * CLASS + self.line_tags[item.line], item.line),
            (tenants.score(item.tenant), item.tenant.encode()),
            (sessions.score(item.session), item.session.encode()),
            item.rank,
        )

    def limit(self, scope: str, item: Item) -> float:
        """How many may run in this scope around an instance."""
        name = {"session": item.tree, "global": None}.get(scope, "".join(item.scope(scope)))
        found = self.config.get(f"{scope}:{name}", "")
        found = self.config.get(scope, "") if found == "" else found
        return NEVER if found == "" else int(found)

    def capacity(self, pool: str) -> int:
        """What all workers offer to a pool."""
        return sum(offer.get(pool, 0) for offer in self.offers.values())

    def used(self, scope: str, item: Item) -> int:
        """How many slots are held in this scope around an instance."""
        around = item.scope(scope)
        return sum(other.holds and other.scope(scope) == around for other in self.items.values())

    # --- the pieces -----------------------------------------------------------------------

    def _full_scope(self, item: Item) -> tuple[str, int, int] | None:
        slots = {scope: self.limit(scope, item) for scope in SCOPES}
        for scope, limit in (slots | {"workers": self.capacity(item.pool)}).items():
            used = self.used(scope, item)
            if used >= limit:
                return scope, int(limit), used
        return None

    def _has_room(self, scope: str, item: Item) -> bool:
        return self.used(scope, item) < self.limit(scope, item)

    def _backlog(self, scope: str, around: str) -> int:
        waiting = [item for item in self.items.values() if item.is_in_line]
        names = {"global": "", "tenant": "tenant", "session": "tree"}
        return sum(scope == "global" or getattr(item, names[scope]) == around for item in waiting)

    def _drain_wait(self, name: str, count: int) -> int:
        window = self.now // WINDOW
        left = sum(
            at // WINDOW in (window, window - 1) and name in ("", tenant)
            for at, tenant in self.left
        )
        if not left:
            return int(self.config["lease_ms"])
        return math.ceil(count * (WINDOW + self.now % WINDOW) / left)

    def _slot_wait(self, agent: str, used: int) -> int:
        mean = self.means.get(f"time:{agent}")
        return int(self.config["lease_ms"]) if mean is None else math.ceil(mean / max(1, used))

    def _may_spawn(self, parent: str, attempt: int) -> bool:
        known = self.items.get(parent)
        return known is not None and not known.stop and known.attempt == attempt

    def holders(self, scope: str, item: Item) -> list[str]:
        """Who holds the slots of a scope around an instance."""
        around = item.scope(scope) if scope != "queue" else None
        held = [one for one in self.items.values() if one.holds and one.scope(scope) == around]
        in_order = (lambda one: (one.until, one.id)) if scope == "global" else (lambda one: one.id)
        return [one.id for one in sorted(held, key=in_order)]

    def _refuse(self, code: str, *rest: object) -> list[str]:
        self.refusals[code] += 1
        return _verdict("refused", code, *rest)

    # --- places ---------------------------------------------------------------------------

    def _enter(self, item: Item, place: str, until: float) -> None:
        item.place, item.until, item.rank, item.look = place, until, None, NEVER
        item.timer = item.candidate = item.stopping = item.urgent = item.promised = None
        if place != "held":
            item.needs, item.targets = None, set()
        self.items[item.id] = item

    def _leave(self, item: Item) -> Item:
        """It is nowhere for a moment; what it held is free, and what that cost is settled."""
        held, ran = item.holds, item.place == "dispatched"
        self._enter(item, "", 0)
        if held and ran:
            self._settle(item)
        self._refresh()
        return item

    def _drop(self, item: Item) -> None:
        self._leave(item)
        del self.items[item.id]

    def _park(self, item: Item, again: bool) -> None:
        if item.paused and not item.thread:
            self._enter(item, "paused", self.now)
            return
        self._enter(item, "queued", 0)
        self.arrivals += 1
        item.line, item.class_, item.since = self._line_of(item), item.priority, self.now
        item.sequence = self.arrivals
        if item.priority <= self.config["preempt_from"]:
            item.urgent = (item.priority, item.sequence)
        self._stand_in_line(item, not again)

    def _stand_in_line(self, item: Item, is_new: bool) -> None:
        assert item.class_ is not None
        assert item.sequence is not None
        item.rank = (item.class_ * 2 + is_new, item.sequence)
        item.look = self._next_look(item, self.now)
        if item.line not in self.tenants:
            self.tenants[item.line] = Shares(item.sequence)
            self.line_tags[item.line] = self.line_time
        self.sessions.setdefault((item.line, item.tenant), Shares(item.sequence))
        self._refresh(item)

    def _line_of(self, item: Item) -> str:
        if self.limit("agent", item) < NEVER:
            return f"{item.pool} @{item.agent}"
        resources = self.config.get(f"resources:{item.agent}", "")
        return f"{item.pool} {resources.replace(' ', ',')}"

    def _next_look(self, item: Item, start: int) -> float:
        look = start + self.config["aging_ms"] if item.class_ else NEVER
        ends = item.expires if item.expires is not None and item.attempt == 0 else NEVER
        return min(look, ends)

    def _wait(self, item: Item, delay_ms: int, again: bool) -> None:
        if delay_ms > 0:
            self._enter(item, "delayed", self.now + delay_ms)
            delayed = [(one.until, one.id) for one in self._at("delayed")]
            self._hint(item, delayed, delay_ms)
        else:
            self._park(item, again)

    # --- shares ---------------------------------------------------------------------------

    def _refresh(self, new: Item | None = None) -> None:
        """See who is ready where, after anything has changed; `new` has just come."""
        waiting = [item for item in self._at("queued") if item.rank is not None]
        for (line, tenant), shares in list(self.sessions.items()):
            mine = [item for item in waiting if (item.line, item.tenant) == (line, tenant)]
            if not mine:
                del self.sessions[line, tenant]
            self._refresh_each(shares, mine, "session", new)
        for line, shares in list(self.tenants.items()):
            mine = [item for item in waiting if item.line == line]
            if not mine:
                del self.tenants[line], self.line_tags[line]
            self._refresh_each(shares, mine, "tenant", new)
        if not self.line_tags:
            self.line_time = 0.0

    def _refresh_each(
        self, shares: Shares, waiting: Sequence[Item], kind: str, new: Item | None
    ) -> None:
        classes: dict[str, int] = {}
        for item in waiting:
            ready = self._has_room("session", item)
            if kind == "tenant":
                ready = ready and self._has_room("tenant", item)
            if ready and item.rank:
                name = getattr(item, kind)
                classes[name] = min(item.rank[0] // 2, classes.get(name, 9))
        for name in {*shares.ready, *classes}:
            is_new = new is not None and new in waiting and getattr(new, kind) == name
            shares.stand(name, classes.get(name), is_new)

    def _typical(self, item: Item) -> float:
        unit = self.config["fair_unit"]
        if unit == "starts":
            return 1000.0
        kind = "tokens" if unit == "tokens" else "time"
        return self.means.get(f"{kind}:{item.agent}", 1000.0)

    def _estimate(self, item: Item) -> float:
        unit, mean = self.config["fair_unit"], self._typical(item)
        if unit == "starts" or item.cost is None:
            return mean
        declared = item.cost * (1 if unit == "tokens" else 1000)
        return max(mean / 4, min(mean * 4, declared))

    def _charge(self, item: Item) -> float:
        assert item.class_ is not None
        cost, tenants = self._estimate(item), self.tenants[item.line]
        of_session = cost / self.weight("session", item.tree)
        self.sessions[item.line, item.tenant].charge(item.class_, item.session, of_session)
        weight = self.weight("tenant", item.tenant)
        tenants.charge(item.class_, item.tenant, cost / weight)
        tenants.served[item.class_, item.tenant] = self.now
        self.line_time = max(self.line_time, self.line_tags[item.line])
        share = self._typical(item) / weight / len(tenants.ready)
        self.line_tags[item.line] = self.line_time + share
        return cost

    def weight(self, kind: str, name: str) -> float:
        """The share of a tenant, or a session by its tree, beside others."""
        return float(self.config.get(f"weight:{kind}:{name}", 1))

    def _settle(self, item: Item) -> None:
        unit = self.config["fair_unit"]
        used = max(1, self.now - (self.now if item.held_since is None else item.held_since))
        self._average(f"time:{item.agent}", used)
        if unit == "tokens":
            used = max(1, item.spent or 0)
            self._average(f"tokens:{item.agent}", used)
        if unit == "starts" or item.charge is None:
            return
        assert item.class_ is not None
        assert item.sequence is not None
        more = used - item.charge
        for kind, name, weighed, shares in (
            ("session", item.session, item.tree, self.sessions.get((item.line, item.tenant))),
            ("tenant", item.tenant, item.tenant, self.tenants.get(item.line)),
        ):
            if shares and more:
                amount = more / self.weight(kind, weighed)
                shares.correct(item.class_, name, amount, item.sequence)

    def _average(self, name: str, used: float) -> None:
        mean = self.means.get(name, used)
        self.means[name] = mean + (used - mean) / 8

    def _hand_out(self, item: Item, charge: float | None) -> None:
        class_ = item.priority if charge is None else item.class_
        assert class_ is not None
        level = class_ * 2 + (item.attempt == 0)
        item.attempt += 1
        item.held_since, item.charge, item.spent = self.now, charge, 0
        self._enter(item, "dispatched", self.now + self.config["dispatch_ms"])
        item.candidate = self.now if item.preemptible else None
        self._refresh()
        if item.thread:
            self._tell("granted", item.thread, item.id, item.attempt)
        else:
            self._tell("message", item.pool, item.id, item.attempt, level)

    def _pump(self) -> None:
        while self.allowance and (item := self.owed()):
            self.allowance -= 1
            self.left.append((self.now, item.tenant))
            self._hand_out(item, self._charge(item))
        while self.displacements and (pair := next_victim(self)):
            self.displacements -= 1
            waiting, victim = pair
            victim.displaced, victim.stopping, victim.candidate = victim.attempt, self.now, None
            waiting.promised = self.now
            self._tell("displace", victim.id, victim.id, victim.attempt)

    def _promote(self, budget: int) -> None:
        for item in self._due("delayed", budget):
            self._park(item, again=item.attempt > 0)
        timers = ((item.timer, item.id) for item in self.items.values() if item.timer is not None)
        for _, one in sorted(timer for timer in timers if timer[0] <= self.now)[:budget]:
            self._rouse(self.items[one])
        looks = sorted((item.look, item.id) for item in self._at("queued") if item.look <= self.now)
        for _, one in looks[:budget]:
            item = self.items[one]
            if item.expires is not None and item.expires <= self.now and item.attempt == 0:
                self._leave(item)
                self._enter(item, "expired", self.now)
            else:
                self._raise(item)

    def _raise(self, item: Item) -> None:
        """One class up, if none of its tenant's in this class had a turn for the aging time."""
        assert item.class_ is not None
        assert item.rank is not None
        served, mark = self.tenants[item.line].served, (item.class_, item.tenant)
        if served.get(mark, -NEVER) + self.config["aging_ms"] > self.now:
            item.look = self._next_look(item, served.get(mark, self.now))
            return
        served[mark] = self.now
        is_new = bool(item.rank[0] % 2)
        item.class_ -= 1
        self._stand_in_line(item, is_new)

    def _expire(self, budget: int) -> None:
        for places in (("admitted", "dispatched"), ("reserved",), ("suspended",)):
            for item in self._due(places, budget):
                self._leave(item)
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

    def _hint(self, item: Item, times: Iterable[tuple[float | None, str]], delay_ms: int) -> None:
        """Something is due sooner than was known."""
        if min(times)[1] == item.id:
            self._tell("due", str(delay_ms), "")

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
