"""What the gate must do about waits and locks: the specification that the Lua is held against.

One method a script, with the script's own argument names; it answers what the script must
answer. Whether a wait may begin is asked of the whole graph, without any thought of speed.

Where several circles close at once the gate may name any of them. So methods that may find one
are given what the gate has done (`Seen`), and check that it was one of the right things to do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

#: A node: an instance by its id, a lock as `lock:<length of tenant> <tenant><name>`.
Node = str
#: Kind, name and agent of each node of a circle.
Words = tuple[str, ...]
SPAN = 2**44
MOST_LOCKS = 100
NEVER = float("inf")


@dataclass
class Item:
    """One instance that the gate knows and has handed out. Times are in milliseconds."""

    id: str
    priority: int
    attempt: int
    until: float
    #: dispatched, suspended, held or expired
    place: str = "dispatched"
    stop: bool = False
    #: whether a thread of a worker stays with it
    thread: bool = False
    #: when it is woken if nothing else does so before
    timer: int | None = None
    #: the attempt that was woken before it slept
    woken: int | None = None

    @property
    def is_asleep(self) -> bool:
        """Whether it waits with nobody there."""
        return self.place == "held" or (self.place == "suspended" and not self.thread)


@dataclass
class Wait:
    """What an instance waits for."""

    claim: str
    kind: str
    since: int
    #: how many of the targets it needs; None when the wait is over
    needs: int | None = None
    targets: set[Node] = field(default_factory=set)
    #: the circle because of which it has failed
    cycle: Words | None = None
    #: the attempt that has seen it going on, and has not seen what became of it
    attempt: int | None = None


@dataclass
class Lock:
    """Who holds a lock."""

    holder: str
    claim: str
    token: int
    since: int


@dataclass(frozen=True)
class RowWait:
    """What the row of an instance that is asleep says of its wait."""

    kind: str
    claim: str = ""
    targets: tuple[str, ...] = ()
    needs: int = 0
    #: the lock
    name: str = ""
    wake_ms: float = NEVER
    #: name, claim and token of each that it holds
    locks: tuple[tuple[str, str, int], ...] = ()
    place: str = "suspended"


@dataclass(frozen=True)
class Seen:
    """What the gate did: its answer, and the waits of others that it has failed."""

    reply: Sequence[str] = ()
    failed: Mapping[str, Words] = field(default_factory=dict)


@dataclass
class WaitModel:
    """Instances, their waits, and the locks of one tenant."""

    now: int
    tenant: str
    lease_ms: int
    dispatch_ms: int
    agent: str = "work"
    victim: str = "closer"
    items: dict[str, Item] = field(default_factory=dict)
    waits: dict[str, Wait] = field(default_factory=dict)
    locks: dict[Node, Lock] = field(default_factory=dict)
    #: who waits for a node, and where it stands in line
    waiters: dict[Node, dict[str, int]] = field(default_factory=dict)
    unchecked: dict[str, int] = field(default_factory=dict)
    token: int = 0
    asked: int = 0
    closed_until: float = 0
    #: who was woken in this call
    woken: list[str] = field(default_factory=list)

    # --- waits ----------------------------------------------------------------------------

    def begin_wait(
        self,
        *,
        id: str,  # noqa: A002  # the script's name for it
        attempt: int,
        claim: str,
        kind: str,
        needs: int,
        targets: Sequence[Node],
        seen: Seen,
    ) -> list[str]:
        """A running attempt waits for instances."""
        if not self._may_wait(id, attempt):
            return ["unknown"]
        if known := self._look(id, claim):
            return known
        self._stop_waiting(id)
        needs = min(needs, len(targets))
        if needs <= 0:
            return ["over"]
        if refused := self._close(id, needs, set(targets), seen):
            return refused
        self._begin(id, Wait(claim, kind, self.now, needs, set(targets)), self.now)
        return ["waiting"]

    def end_wait(self, *, id: str, claim: str) -> str:  # noqa: A002  # as above
        """A wait is given up."""
        if self._state_of(id, claim):
            self._stop_waiting(id)
        return ""

    def answer(self, *, id: str, target: Node) -> int:  # noqa: A002  # as above
        """One of those that were asked has answered."""
        wait = self.waits.get(id)
        if not wait or wait.kind != "reply" or wait.needs is None or target not in wait.targets:
            return 0
        self._lose_edge(id, target)
        return int(wait.needs is None)

    def block(self, *, id: str, attempt: int, claim: str) -> int:  # noqa: A002  # as above
        """A wait for a limited time, with the slot kept."""
        item = self.items.get(id)
        if not item or item.attempt != attempt or item.place != "dispatched":
            return 0
        if not self._state_of(id, claim):
            self._stop_waiting(id)
            self.waits[id] = Wait(claim, "timed", self.now)
        return 1

    def recheck(self, *, again_ms: int, seen: Seen) -> list[int]:
        """Look again at one wait that was not searched."""
        if not self.unchecked:
            return [0, 0]
        one = min(self.unchecked, key=lambda name: (self.unchecked[name], name))
        wait = self.waits[one]
        assert wait.needs is not None
        del self.unchecked[one]
        if not self._is_stuck(one, self._graph()):
            assert not seen.failed
            return [1, 0]
        self._fail_all(seen.failed, one, self._graph())
        return [1, int(one in seen.failed)]

    # --- locks ----------------------------------------------------------------------------

    def take_lock(
        self,
        *,
        id: str,  # noqa: A002  # as above
        attempt: int,
        claim: str,
        lock: str,
        seen: Seen,
    ) -> list[str]:
        """A running attempt wants a lock."""
        if not self._may_wait(id, attempt):
            return ["unknown"]
        node = self.node(lock)
        self._hand_on(node)
        answer = self._holding(node, id, claim) or self._look(id, claim)
        return answer or self._ask_for_lock(id, claim, node, seen)

    def _holding(self, node: Node, one: str, claim: str) -> list[str] | None:
        held = self.locks.get(node)
        is_holder = held and (held.holder, held.claim) == (one, claim)
        return ["held", str(held.token)] if held and is_holder else None

    def _ask_for_lock(self, asker: str, claim: str, node: Node, seen: Seen) -> list[str]:
        held = self.locks.get(node)
        self._stop_waiting(asker)
        if sum(lock.holder == asker for lock in self.locks.values()) >= MOST_LOCKS:
            return ["full"]
        if held is None and self.now >= self.closed_until:
            self._give(node, asker, claim)
            return ["held", str(self.token)]
        if refused := self._close(asker, 1, {node}, seen):
            return refused
        self.asked += 1
        rank = self.items[asker].priority * SPAN + self.asked
        self._begin(asker, Wait(claim, "lock", self.now, 1, {node}), rank)
        return ["waiting"]

    def free_lock(self, *, id: str, claim: str, lock: str) -> int:  # noqa: A002  # as above
        """A holder is done with a lock."""
        held = self.locks.get(self.node(lock))
        if id not in self.items or not held or (held.holder, held.claim) != (id, claim):
            return 0
        self._free(self.node(lock))
        return 1

    def hold_lock(self, *, id: str, attempt: int, claim: str, lock: str, token: int) -> int:  # noqa: A002  # as above
        """A holder says what it holds."""
        item, node = self.items.get(id), self.node(lock)
        held = self.locks.get(node)
        if held and (held.holder, held.claim) == (id, claim):
            return 1
        if not item or item.attempt != attempt or item.place == "expired":
            return 0
        if not self._keep_lock(node, id, claim, token):
            return 0
        if self._state_of(id, claim):
            self._stop_waiting(id)
        wait = self.waits.get(id)
        if wait and wait.needs is not None:
            self.unchecked[id] = self.now
        return 1

    def _keep_lock(self, node: Node, one: str, claim: str, token: int) -> bool:
        held = self.locks.get(node)
        if held and held.token >= token:
            return False
        if not held and self.token > token and self.now >= self.closed_until:
            return False
        self.locks[node] = Lock(one, claim, token, self.now)
        self.token = max(self.token, token)
        return True

    # --- asleep ---------------------------------------------------------------------------

    def hold(self, name: str, priority: int, needs: int, targets: Sequence[str]) -> None:
        """It is spawned, and waits for others before it starts."""
        self.start(name, priority)
        if needs > 0:
            item = self.items[name]
            item.place, item.attempt, item.until = "held", 0, NEVER
            self._begin(name, Wait("after", "after", self.now, needs, set(targets)), self.now)

    def doze(self, name: str, wake_ms: float, is_ready: bool, ended: Sequence[Node]) -> None:
        """Its attempt waits with nobody there."""
        item = self.items[name]
        if item.stop:
            self._drop(name)
            return
        item.place, item.until, item.thread = "suspended", NEVER, False
        for target in ended:
            self._lose_edge(name, target)
        if item.is_asleep:
            self._lie_down(item, wake_ms, is_ready)

    def _lie_down(self, item: Item, wake_ms: float, is_ready: bool) -> None:
        wait = self.waits.get(item.id)
        if wait and wait.kind == "lock" and self.closed_until > self.now:
            wake_ms = min(wake_ms, self.closed_until - self.now)
        is_mine = wait and wait.attempt == item.attempt
        if is_ready or wake_ms <= 0 or item.woken == item.attempt:
            self._wake(item)
        elif is_mine and wait and wait.needs is None:
            self._end(item.id)
        else:
            if not is_mine:
                self._stop_waiting(item.id)
            item.timer = None if wake_ms == NEVER else self.now + int(wake_ms)

    def wake(self, ids: Sequence[str]) -> None:
        """What they wait for may be here."""
        for item in (self.items[one] for one in ids):
            if item.is_asleep:
                self._wake(item)
            elif item.place == "dispatched":
                item.woken = item.attempt

    def end(self, ids: Sequence[Node]) -> None:
        """They have ended for good: nobody waits for them any more."""
        for target in sorted(ids):
            line = self.waiters.get(target, {})
            for one in sorted(line, key=lambda one: (line[one], one)):
                self._lose_edge(one, target)

    def _lose_edge(self, one: str, target: Node) -> None:
        wait = self.waits.get(one)
        if wait and wait.needs is not None and target in wait.targets:
            wait.targets.remove(target)
            self._leave_line(target, one)
            wait.needs -= 1
            if wait.needs <= 0:
                self._end(one)

    def _wake(self, item: Item) -> None:
        self._stop_waiting(item.id)
        self._rouse(item)

    def _rouse(self, item: Item) -> None:
        """It is in line, and at once handed out: there is room."""
        item.place, item.attempt, item.timer = "dispatched", item.attempt + 1, None
        item.until = self.now + self.dispatch_ms

    # --- what else happens to an instance -------------------------------------------------

    def start(self, name: str, priority: int) -> None:
        """It is spawned and handed out at once: there is room."""
        self.items[name] = Item(name, priority, 1, self.now + self.dispatch_ms)

    def suspend(self, name: str) -> None:
        """Its slot is free while it waits."""
        item = self.items[name]
        item.place, item.until, item.thread = "suspended", self.now + self.lease_ms, True

    def resume(self, name: str) -> None:
        """It goes on, keeping its locks."""
        self._wake(self.items[name])

    def requeue(self, name: str) -> None:
        """Its attempt is over; the next one has nothing of it."""
        self._let_go(name)
        item = self.items[name]
        self.items[name] = Item(name, item.priority, item.attempt + 1, self.now + self.dispatch_ms)

    def cancel(self, name: str) -> None:
        """One that runs has to stop: it waits for nothing any more, but may hold locks."""
        item = self.items[name]
        if item.place == "dispatched" or item.thread:
            item.stop = True
            self._stop_waiting(name)
        else:
            self._drop(name)
        self.end([name])

    def release(self, name: str, *, ended: bool) -> None:
        """Its attempt is over; the instance has ended as well, or it has not."""
        item = self.items[name]
        if item.place != "held" and (ended or not item.is_asleep):
            self._drop(name)
        if ended:
            self.end([name])

    def _drop(self, name: str) -> None:
        self._let_go(name)
        del self.items[name]

    def adopt(self, name: str, place: str, sleeps: RowWait | None = None) -> None:
        """PostgreSQL knows better where it is."""
        item = self.items[name]
        if sleeps and (item.place in ("suspended", "held", "dispatched") and not item.thread):
            return
        if item.place == "suspended" == place and (sleeps or item.is_asleep):
            if item.thread:
                item.until = self.now + self.lease_ms
            return
        if item.place != place:
            self._let_go(name)
            item.thread = place == "suspended" and sleeps is None
        item.timer = None
        if sleeps:
            self._lie_down_again(item, sleeps)
        else:
            item.place, item.until = place, self.now + self.lease_ms

    def _lie_down_again(self, item: Item, wait: RowWait) -> None:
        """It waits as its row says."""
        item.place, item.until, item.thread = wait.place, NEVER, False
        for name, claim, token in wait.locks:
            self._keep_lock(self.node(name), item.id, claim, token)
        targets, rank = wait.targets, self.now
        wake_ms = wait.wake_ms
        if wait.kind == "lock":
            self.asked += 1
            targets, rank = (self.node(wait.name),), item.priority * SPAN + self.asked
            wake_ms = min(wake_ms, self.lease_ms)
        if targets:
            begun = Wait(wait.claim, wait.kind, self.now, wait.needs or 1, set(targets))
            self._begin(item.id, begun, rank)
        if item.woken == item.attempt:
            self._wake(item)
        elif wake_ms < NEVER:
            item.timer = self.now + int(wake_ms)

    def beat(self, renewed: Iterable[str]) -> None:
        """These leases are renewed; others that are due run out."""
        for one in renewed:
            if self.items[one].place != "expired" and not self.items[one].is_asleep:
                self.items[one].until = self.now + self.lease_ms
        due = [item for item in self.items.values() if item.place != "expired"]
        # In the order in which the gate ends them: those with slots first, each by its time.
        order = {"dispatched": 0, "suspended": 1, "held": 1}
        for item in sorted(due, key=lambda item: (order[item.place], item.until, item.id)):
            if item.until <= self.now:
                self._let_go(item.id)
                item.place = "expired"
        timers = [(item.timer, item) for item in self.items.values() if item.timer is not None]
        for timer, item in timers:
            if timer <= self.now and item.timer is not None:
                self._wake(item)

    def forget_all(self, places: Mapping[str, str], sleeps: Mapping[str, RowWait]) -> None:
        """Redis was emptied and the gate is rebuilt: what lives is where PostgreSQL says."""
        self.waits, self.locks, self.waiters, self.unchecked = {}, {}, {}, {}
        self.token = self.asked = 0
        until, self.closed_until = self.now + self.lease_ms, NEVER
        for one, place in places.items():
            old = self.items[one]
            thread = place == "suspended"
            item = Item(one, old.priority, old.attempt, until, place, False, thread)
            self.items[one] = item
            if one in sleeps:
                self._lie_down_again(item, sleeps[one])
        self.items = {one: self.items[one] for one in places}
        self.closed_until = self.now + self.lease_ms if places else 0

    # --- the specification of a deadlock --------------------------------------------------

    def stuck(self) -> set[Node]:
        """Everybody who will never end as things are."""
        return stuck_in(self._graph())

    def node(self, lock: str) -> Node:
        """A lock as a node."""
        return f"lock:{len(self.tenant.encode())} {self.tenant}{lock}"

    def _graph(self) -> dict[Node, tuple[int, set[Node]]]:
        waits = {
            one: (wait.needs, wait.targets)
            for one, wait in self.waits.items()
            if wait.needs is not None
        }
        return {**waits, **{node: (1, {lock.holder}) for node, lock in self.locks.items()}}

    def _is_stuck(self, one: str, graph: dict[Node, tuple[int, set[Node]]]) -> bool:
        """Whether it will never end, and is part of a circle itself."""
        stuck = stuck_in(graph)
        reached, todo = set[Node](), [one] if one in stuck else []
        while todo:
            for target in graph[todo.pop()][1] & stuck - reached:
                reached.add(target)
                todo.append(target)
        return one in reached

    def _close(self, name: str, needs: int, targets: set[Node], seen: Seen) -> list[str] | None:
        """The refusal of a wait that closes a circle; None when it may begin."""
        graph = self._graph() | {name: (needs, targets)}
        if not self._is_stuck(name, graph):
            assert not seen.failed, f"{seen.failed} failed for nothing"
            return None
        if seen.reply[0] == "deadlock":
            words = tuple(seen.reply[1:])
            self._check_circle(words, name, graph, victim=name)
            assert not seen.failed, "others failed although it fails itself"
            return ["deadlock", *words]
        self._fail_all(seen.failed, name, graph)
        return None

    def _fail_all(
        self,
        failed: Mapping[str, Words],
        closer: str,
        graph: dict[Node, tuple[int, set[Node]]],
    ) -> None:
        """These waits fail, each for a circle of its own; after that nobody is stuck."""
        for victim, words in failed.items():
            self._check_circle(words, closer, graph, victim)
        left = {node: wait for node, wait in graph.items() if node not in failed}
        assert not self._is_stuck(closer, left), f"{closer} is in a deadlock that nobody sees"
        for victim, words in failed.items():
            self.waits[victim].cycle = words
            self._end(victim)

    def _check_circle(
        self,
        words: Words,
        closer: str,
        graph: dict[Node, tuple[int, set[Node]]],
        victim: str,
    ) -> None:
        """It is a circle of stuck nodes through the closer, and the victim is the right one."""
        kinds, names, agents = words[::3], words[1::3], words[2::3]
        nodes = [
            self.node(name) if kind == "lock" else name
            for kind, name in zip(kinds, names, strict=True)
        ]
        stuck = stuck_in(graph)
        for node, target in zip(nodes, [*nodes[1:], nodes[0]], strict=True):
            assert target in graph[node][1], f"{node} does not wait for {target}"
            assert node in stuck, f"{node} can end"
        assert len(set(nodes)) == len(nodes)
        assert closer in nodes
        assert set(agents) <= {self.agent, ""}
        assert victim == self._victim_of(nodes, closer), f"{victim} of {nodes}"

    def _victim_of(self, nodes: Sequence[Node], closer: str) -> str:
        if self.victim == "closer":
            return closer
        instances = [self.items[node] for node in nodes if node in self.items]
        instances = [item for item in instances if item.place != "held"]
        if self.victim == "youngest":
            return max(item.id for item in instances)
        return max(instances, key=lambda item: (item.priority, item.id)).id

    # --- the pieces -----------------------------------------------------------------------

    def _may_wait(self, one: str, attempt: int) -> bool:
        item = self.items.get(one)
        is_here = item and item.attempt == attempt and item.place in ("dispatched", "suspended")
        return bool(is_here and item and not item.stop)

    def _state_of(self, name: str, claim: str) -> list[str] | None:
        wait = self.waits.get(name)
        if not wait or wait.claim != claim:
            return None
        if wait.needs is not None:
            return ["waiting"]
        return ["over"] if wait.cycle is None else ["deadlock", *wait.cycle]

    def _look(self, name: str, claim: str) -> list[str] | None:
        """The same for the attempt that asks; it is remembered that it has seen this."""
        known = self._state_of(name, claim)
        if known:
            going_on = known == ["waiting"]
            self.waits[name].attempt = self.items[name].attempt if going_on else None
        return known

    def _begin(self, name: str, wait: Wait, rank: int) -> None:
        wait.attempt = self.items[name].attempt
        self.waits[name] = wait
        for target in wait.targets:
            self.waiters.setdefault(target, {})[name] = rank

    def _end(self, name: str) -> None:
        """Its wait is over, one way or the other; it learns so when it looks."""
        wait = self.waits[name]
        for target in wait.targets:
            self._leave_line(target, name)
        wait.needs, wait.targets = None, set()
        self.unchecked.pop(name, None)
        item = self.items[name]
        if not item.is_asleep:
            self.woken.append(name)
            return
        if wait.cycle is None:
            del self.waits[name]
        self._rouse(item)

    def _stop_waiting(self, name: str) -> None:
        wait = self.waits.pop(name, None)
        for target in wait.targets if wait else ():
            self._leave_line(target, name)
        self.unchecked.pop(name, None)

    def _leave_line(self, node: Node, name: str) -> None:
        del self.waiters[node][name]
        if not self.waiters[node]:
            del self.waiters[node]

    def _give(self, node: Node, name: str, claim: str) -> None:
        self.token = max(self.now, self.token + 1)
        self.locks[node] = Lock(name, claim, self.token, self.now)

    def _hand_on(self, node: Node) -> None:
        line = self.waiters.get(node)
        if node in self.locks or self.now < self.closed_until or not line:
            return
        first = min(line, key=lambda one: (line[one], one))
        self._give(node, first, self.waits[first].claim)
        self._end(first)

    def _free(self, node: Node) -> None:
        del self.locks[node]
        self._hand_on(node)

    def _let_go(self, name: str) -> None:
        self._stop_waiting(name)
        for node in [node for node, lock in self.locks.items() if lock.holder == name]:
            self._free(node)


def stuck_in(graph: dict[Node, tuple[int, set[Node]]]) -> set[Node]:
    """Those who cannot end: the greatest set whose members have too few targets outside of it."""
    stuck = set(graph)
    while True:
        freed = {node for node in stuck if len(graph[node][1] - stuck) >= graph[node][0]}
        if not freed:
            return stuck
        stuck -= freed
