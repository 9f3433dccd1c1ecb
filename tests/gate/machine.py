"""Does random things to a gate and to its model, and compares the two after each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from orchestrator.admission.keys import key
from orchestrator.domain.instance import Instance, NewInstance, Parent
from orchestrator.domain.lifecycle import State
from orchestrator.domain.limits import Limits
from orchestrator.domain.priority import Priority
from tests.gate import observe
from tests.gate.traced import GATE, Call, TracedGate
from tests.support.clock import Entry
from tests.support.gate_model import GateModel, Item, Told
from tests.support.make import spawn_of

SMALL = Limits(
    max_depth=2,
    session_concurrency=2,
    tenant_concurrency=3,
    pool_concurrency=4,
    global_concurrency=5,
    tenant_queue=3,
    global_queue=5,
)

#: Tenants and their sessions: some names are the same, some run into each other when joined.
HOMES = (("a", "x"), ("a", "1 x"), ("a1", " x"), ("b", "x"), ("ä:p", "x"))
Home = tuple[str, str]
POOLS = ("p", "q")
WORKERS = ("w1", "w2")

homes = st.sampled_from(HOMES)
pools = st.sampled_from(POOLS)
workers = st.sampled_from(WORKERS)
priorities = st.sampled_from([Priority.CRITICAL, Priority.NORMAL, Priority.BACKGROUND])
wishes = st.sampled_from(["queue", "queue", "refuse"])
#: An attempt as its fence sees it: mostly the newest, else one too old or too new.
offsets = st.sampled_from([0, 0, 0, -1, 1])
#: What a worker offers; mostly enough that the other limits are met.
capacities = st.sampled_from([6, 6, 4, 2, 0])
delays = st.sampled_from([0.0, 0.0, 0.005, 5.0])


class GateMachine(RuleBasedStateMachine):
    """Every rule is a call of `Gate`, or time that passes."""

    def __init__(self, gate: TracedGate) -> None:
        super().__init__()
        self.gate = gate
        self.model = GateModel(now=0)
        self.news: dict[str, NewInstance] = {}
        self.found: observe.Dump = {}
        self.is_whole = True

    @initialize(first=capacities, second=capacities)
    def open(self, first: int, second: int) -> None:
        """A new gate with two workers."""
        self.gate.open(SMALL)
        self.model.now = self.gate.clock.now
        self._replay()
        self.act(self.gate.heartbeat, "w1", "p", first, [])
        self.act(self.gate.heartbeat, "w2", "q", second, [])

    # --- rules: a spawn -------------------------------------------------------------------

    @rule(home=homes, pool=pools, priority=priorities, count=st.integers(1, 4))
    def spawn(self, home: Home, pool: str, priority: Priority, count: int) -> None:
        """Some spawns as they should be."""
        news = [self._new(home, pool, priority) for _ in range(count)]
        verdicts = self.act(self.gate.check_in_many, news, ["queue"] * count)
        accepted = [new for new, verdict in zip(news, verdicts, strict=True) if not verdict.refusal]
        self.act(self.gate.follow_many, accepted)

    @rule(data=st.data(), home=homes, pool=pools, priority=priorities, wish=wishes)
    def check_in(
        self, data: st.DataObject, home: Home, pool: str, priority: Priority, wish: str
    ) -> None:
        """A spawn of which nothing more is heard for now, perhaps by a running attempt."""
        depth = data.draw(st.integers(0, SMALL.max_depth + 1), "depth")
        parent = None
        if self.model.items and data.draw(st.booleans(), "has parent"):
            known = self._pick(data)
            parent = _parent(self.news[known.id], known.attempt + data.draw(offsets))
        self.act(self.gate.check_in, self._new(home, pool, priority, depth, parent), wish)

    @precondition(lambda self: self.model.items)
    @rule(data=st.data(), wish=wishes)
    def check_in_again(self, data: st.DataObject, wish: str) -> None:
        """The reply was lost."""
        self.act(self.gate.check_in, self.news[self._pick(data).id], wish)

    @precondition(lambda self: self.news)
    @rule(data=st.data())
    def follow(self, data: st.DataObject) -> None:
        """The second half of a spawn, or a repetition, or a spawn in a caller's transaction."""
        self.act(self.gate.follow, self._pick_new(data, "admitted", "reserved"))

    @precondition(lambda self: self.news)
    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        """A spawn was not recorded."""
        self.act(self.gate.withdraw, [self._pick_new(data, "admitted", "reserved").id])

    # --- rules: an attempt ----------------------------------------------------------------

    @precondition(lambda self: self.news)
    @rule(data=st.data(), offset=offsets, count=st.integers(1, 3))
    def release(self, data: st.DataObject, offset: int, count: int) -> None:
        """Some attempts have ended."""
        for _ in range(count):
            new = self._pick_new(data, "dispatched")
            self.act(self.gate.release, new.id, self._attempt(new) + offset)

    @precondition(lambda self: self.news)
    @rule(data=st.data(), offset=offsets, delay=delays)
    def requeue(self, data: st.DataObject, offset: int, delay: float) -> None:
        """An attempt has failed, or was handed back."""
        new = self._pick_new(data, "dispatched", "expired")
        attempt = max(0, self._attempt(new) + offset)
        self.act(self.gate.requeue, _instance(new, State.QUEUED, attempt), attempt, delay)

    @precondition(lambda self: self.model.items)
    @rule(data=st.data(), offset=offsets, worker=workers)
    def suspend(self, data: st.DataObject, offset: int, worker: str) -> None:
        """An attempt waits."""
        item = self._pick(data, "dispatched", "dispatched", "suspended")
        self.act(self.gate.suspend, item.id, item.attempt + offset, worker)

    @precondition(lambda self: self.model.items)
    @rule(data=st.data(), offset=offsets)
    def resume(self, data: st.DataObject, offset: int) -> None:
        """What it waited for is here."""
        item = self._pick(data, "suspended")
        self.act(self.gate.resume, item.id, item.attempt + offset)

    @precondition(lambda self: self.news)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        """Some end early."""
        ids = data.draw(st.lists(st.sampled_from(sorted(self.news)), min_size=1, max_size=3))
        self.act(self.gate.cancel, ids)

    # --- rules: workers, time, housekeeping -----------------------------------------------

    @rule(data=st.data(), worker=workers, pool=pools, capacity=capacities, offset=offsets)
    def beat(
        self, data: st.DataObject, worker: str, pool: str, capacity: int, offset: int
    ) -> None:
        """A worker renews what it says it runs: mostly all there is."""
        running = sorted(self.news)
        if running and data.draw(st.integers(0, 2), "some") == 0:
            running = data.draw(st.lists(st.sampled_from(running), unique=True))
        pairs = [(one, self._attempt(self.news[one]) + offset) for one in running]
        self.act(self.gate.heartbeat, worker, pool, capacity, pairs)

    @rule(worker=workers)
    def leave(self, worker: str) -> None:
        """A worker takes no more."""
        self.act(self.gate.leave, worker)

    @rule(which=st.integers(0, 2), offset=st.sampled_from([-1, 0, 0, 1]))
    def time_passes(self, which: int, offset: int) -> None:
        """Up to about one of the next moments when something is due, or a second."""
        now = self.model.now
        moments = {item.until for item in self.model.items.values()} | {*self.model.alive.values()}
        ahead = sorted(moment for moment in moments if moment > now)[:3] or [now + 1000]
        self._set_clock(ahead[which % len(ahead)] + offset)

    @rule(seconds=st.sampled_from([-2, 11, 31]))
    def time_leaps(self, seconds: int) -> None:
        """The clock jumps back, or nobody does anything for long."""
        self._set_clock(self.model.now + seconds * 1000)

    @rule(data=st.data(), budget=st.sampled_from([1, 3, 100]), hold=st.sampled_from([0.5, 30.0]))
    def sweep(self, data: st.DataObject, budget: int, hold: float) -> None:
        """Judge what has run out; now and then the judge dies over it."""
        found = self.act(self.gate.sweep, budget, hold)
        for one, attempt in found.expired:
            fate = data.draw(st.sampled_from(["requeue", "forget", "nothing"]), one)
            if fate == "requeue":
                self.act(
                    self.gate.requeue, _instance(self.news[one], State.QUEUED, attempt), attempt
                )
            elif fate == "forget":
                self.act(self.gate.forget, one, attempt)

    @precondition(lambda self: self.news)
    @rule(data=st.data(), offset=offsets)
    def forget(self, data: st.DataObject, offset: int) -> None:
        """A judgement that comes late."""
        new = self._pick_new(data, "expired")
        self.act(self.gate.forget, new.id, self._attempt(new) + offset)

    @precondition(lambda self: self.news)
    @rule(data=st.data(), offset=offsets, worker=workers, delay=delays)
    def adopt(self, data: st.DataObject, offset: int, worker: str, delay: float) -> None:
        """The reconciler finds a row."""
        new = self._pick_new(data)
        state = data.draw(st.sampled_from([State.QUEUED, State.RUNNING, State.WAITING]))
        attempt = max(0, self._attempt(new) + offset)
        self.act(self.gate.adopt, [_instance(new, state, attempt, worker, delay)])
        self.act(self.gate.pump)

    @rule(
        session=st.integers(1, 4),
        tenant=st.integers(1, 5),
        pool=st.integers(1, 5),
        everywhere=st.integers(1, 7),
    )
    def configure(self, session: int, tenant: int, pool: int, everywhere: int) -> None:
        """Somebody changes the limits."""
        limits = replace(
            SMALL,
            session_concurrency=session,
            tenant_concurrency=tenant,
            pool_concurrency=pool,
            global_concurrency=everywhere,
        )
        self.act(self.gate.change_limits, limits)

    @rule(data=st.data())
    def look(self, data: st.DataObject) -> None:
        """Questions change nothing."""
        self.act(self.gate.glance, data.draw(st.sampled_from([*self.news, "stranger"])))
        self.act(self.gate.unknown, [*self.news, "stranger"])

    # --- comparing ------------------------------------------------------------------------

    def act(self, method: Callable[..., Any], *arguments: Any) -> Any:
        """Call the gate, let the model do the same, and compare."""
        self.is_whole = False
        before = self.found
        result = method(*arguments)
        self._replay(before, may_exceed=method == self.gate.adopt)
        self.is_whole = True
        return result

    def _replay(self, before: observe.Dump | None = None, may_exceed: bool = False) -> None:
        told: list[Entry] = []
        journal = iter(self.gate.clock.take_journal())
        for call in self.gate.take_calls():
            entries = next(journal) if call.is_timed else []
            told += entries
            self._compare_call(call, [_told(entry) for entry in entries])
        found = self.found = observe.dump(self.gate.redis, drain=True)
        wanted = observe.expected(GATE, self.model)
        different = observe.differences(observe.state_of(GATE, found), wanted)
        assert not different, different
        observe.check_capacity(GATE, found, self.model)
        observe.check_ready_sets(GATE, found, self.model)
        _check_lists(found, told)
        if before is not None and not may_exceed:
            self._check_limits(before, found)

    def _compare_call(self, call: Call, told: list[Told]) -> None:
        model = self.model
        if call.name in ("begin_rebuild", "finish_rebuild"):
            return
        model.told = []
        model.allowance = sum(one.kind in ("message", "granted") for one in told)
        reply = getattr(model, call.name)(**call.values)
        assert _plain(call) == reply, f"{call.name} answered {call.reply}, not {reply}"
        assert told == model.told, f"{call.name} told {told}, not {model.told}"
        if not call.more and call.name not in ("configure", "adopt"):
            owed = model.owed()
            assert owed is None, f"{call.name} leaves {owed} without a wake"

    def _check_limits(self, before: observe.Dump, after: observe.Dump) -> None:
        """No count of slots is above its limit now, unless it was there before."""
        for item in self.model.items.values():
            for name, scope in zip(
                (*observe.slot_sets(GATE, item), key(GATE, "leases")),
                ("session", "tenant", "pool", "global"),
                strict=True,
            ):
                used, earlier = len(after.get(name, ())), len(before.get(name, ()))
                assert used <= max(earlier, self.model.config[scope]), f"{name} holds {used}"

    # --- the end --------------------------------------------------------------------------

    def teardown(self) -> None:
        """Everything ends, everybody waiting gets a turn, and nothing stays behind."""
        if not self.is_whole:
            return
        self.act(self.gate.change_limits, SMALL)
        while self.model.items:
            self._finish_some()
        for worker in WORKERS:
            self.act(self.gate.leave, worker)
        left = set(observe.state_of(GATE, observe.dump(self.gate.redis)))
        assert left <= {key(GATE, name) for name in ("config", "sequence", "refusals")}

    def _finish_some(self) -> None:
        for worker, pool in zip(WORKERS, POOLS, strict=True):
            self.act(self.gate.heartbeat, worker, pool, 2, [])
        for item in list(self.model.items.values()):
            if item.place in ("admitted", "reserved"):
                self.act(self.gate.follow, self.news[item.id])
            elif item.place == "suspended" and not item.stop:
                self.act(self.gate.resume, item.id, item.attempt)
            elif item.place == "delayed":
                self._set_clock(max(item.until, self.model.now))
            else:
                self.act(self.gate.release, item.id, item.attempt)

    # --- helpers --------------------------------------------------------------------------

    def _set_clock(self, now: int) -> None:
        self.gate.clock.set(now)
        self.model.now = now

    def _new(
        self,
        home: Home,
        pool: str,
        priority: Priority,
        depth: int = 0,
        parent: Parent | None = None,
    ) -> NewInstance:
        one = f"i{len(self.news)}"
        new = spawn_of(
            id=one,
            tenant=home[0],
            session=home[1],
            pool=pool,
            priority=priority,
            depth=depth,
            parent=parent,
        )
        self.news[one] = new
        return new

    def _pick(self, data: st.DataObject, *places: str) -> Item:
        """One that the gate knows, of these places if there is one."""
        items = list(self.model.items.values())
        if data.draw(st.integers(0, 7), "any place") > 0:
            items = [item for item in items if item.place in places] or items
        return data.draw(st.sampled_from(items))

    def _pick_new(self, data: st.DataObject, *places: str) -> NewInstance:
        """As `_pick`, but now and then one that the gate knows no more."""
        if self.model.items and data.draw(st.integers(0, 3), "gone") > 0:
            return self.news[self._pick(data, *places).id]
        return data.draw(st.sampled_from(list(self.news.values())))

    def _attempt(self, new: NewInstance) -> int:
        item = self.model.items.get(new.id)
        return item.attempt if item else 0


def _plain(call: Call) -> Any:
    """A reply as the model gives it: what a heartbeat doubts has no order."""
    if call.name != "heartbeat":
        return call.reply
    due, *doubtful = call.reply
    return [due, *sorted(set(doubtful))]


def _told(entry: Entry) -> Told:
    """An entry of the journal in the model's words."""
    if entry.command == "LPUSH":
        one, attempt, _agent, queue, level = entry.text.split(" ")
        assert entry.target == (queue if level == "0" else f"{queue}\x06\x16{level}")
        return Told("message", queue.removeprefix(key(GATE, "queue")), one, int(attempt), int(level))
    for kind in ("granted", "done"):
        prefix = key(GATE, kind)
        if entry.target.startswith(prefix):
            to = entry.target.removeprefix(prefix)
            one, attempt = [*entry.text.split(" "), "0"][:2]
            return Told(kind, to, one or to, int(attempt))
    assert entry.target == key(GATE, "stop")
    return Told("stop", entry.text, entry.text)


def _check_lists(found: observe.Dump, told: Sequence[Entry]) -> None:
    """The broker lists hold what was pushed, the oldest at the end that workers read from."""
    pushed: defaultdict[str, list[str]] = defaultdict(list)
    for entry in told:
        if entry.command == "LPUSH":
            pushed[entry.target].insert(0, entry.text)
    lists = {name: value for name, value in found.items() if name.startswith(key(GATE, "queue"))}
    assert lists == pushed


def _parent(new: NewInstance, attempt: int) -> Parent:
    return Parent(new.id, attempt, new.session, new.tenant, new.root_id, new.depth, 0)


def _instance(
    new: NewInstance, state: State, attempt: int, worker: str | None = None, delay: float = 0.0
) -> Instance:
    """A row of this spawn."""
    return Instance(
        id=new.id,
        agent=new.agent,
        session=new.session,
        tenant=new.tenant,
        pool=new.pool,
        priority=new.priority,
        parent_id=None,
        root_id=new.root_id,
        depth=new.depth,
        state=state,
        reason=None,
        attempt=attempt,
        failures=0,
        timeout_seconds=new.timeout_seconds,
        retry=new.retry,
        args={},
        result=None,
        error=None,
        worker=worker,
        not_before=datetime.now(UTC) + timedelta(seconds=delay) if delay else None,
        created_at=datetime.now(UTC),
        started_at=None,
        ended_at=None,
    )
