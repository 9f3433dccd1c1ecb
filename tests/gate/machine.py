"""Does random things to a gate and to its model, and compares the two after each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from orchestrator.admission.keys import key
from orchestrator.domain.instance import Instance, NewInstance, Parent
from orchestrator.domain.lifecycle import State
from orchestrator.domain.limits import Limits
from orchestrator.domain.priority import Priority
from tests.gate import observe
from tests.gate.traced import GATE, Call, TracedGate
from tests.support.clock import Entry, read_journal
from tests.support.gate_model import GateModel, Told
from tests.support.make import spawn_of

SMALL = Limits(
    max_depth=2,
    session_concurrency=2,
    tenant_concurrency=3,
    pool_concurrency=4,
    global_concurrency=5,
    tenant_queue=5,
    global_queue=9,
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
delays = st.sampled_from([0.0, 0.0, 0.005, 5.0])
#: What a worker offers; mostly enough that the other limits are met.
capacities = st.sampled_from([6, 6, 4, 2, 0])

JOURNAL = key(GATE, "generation").replace("generation", "journal")

#: What may happen, as often as it is named.
ACTIONS = """
    spawn spawn spawn spawn check_in check_in check_in repeat_check_in follow follow withdraw withdraw
    release release release requeue requeue suspend suspend suspend resume resume cancel cancel
    beat beat beat odd_beat leave pass_time pass_time pass_time leap sweep sweep forget
    adopt adopt adopt change_limits look
""".split()


class GateMachine(RuleBasedStateMachine):
    """Every action is a call of `Gate`, or time that passes.

    One rule does them all: Hypothesis leaves some rules out of each example, and without spawns,
    workers or time an example shows little.
    """

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

    @rule(action=st.sampled_from(ACTIONS), data=st.data())
    def happens(self, action: str, data: st.DataObject) -> None:
        """One thing happens."""
        self._draw = data.draw
        # At first there is nothing that anything else could happen to.
        getattr(self, f"_{action}" if self.news else "_spawn")()

    # --- a spawn --------------------------------------------------------------------------

    def _spawn(self) -> None:
        """Some spawns as they should be."""
        count = self._draw(st.integers(1, 4))
        news = [self._new(0, None) for _ in range(count)]
        verdicts = self.act(self.gate.check_in_many, news, ["queue"] * count)
        accepted = [new for new, verdict in zip(news, verdicts, strict=True) if not verdict.refusal]
        self.act(self.gate.follow_many, accepted)

    def _check_in(self) -> None:
        """A spawn of which nothing more is heard for now, perhaps by a running attempt."""
        depth = self._draw(st.sampled_from([0, 1, SMALL.max_depth, SMALL.max_depth + 1]))
        parent = None
        if self.news and self._draw(st.booleans(), "with parent"):
            known = self._pick("dispatched")
            parent = _parent(known, self._attempt(known))
        self.act(self.gate.check_in, self._new(depth, parent), self._draw(wishes))

    def _repeat_check_in(self) -> None:
        """The reply was lost."""
        known = self._pick("admitted", "reserved")
        if known.id in self.model.items:
            self.act(self.gate.check_in, known, "queue")

    def _follow(self) -> None:
        """The second half of a spawn, or a repetition, or a spawn in a caller's transaction."""
        self.act(self.gate.follow, self._pick("admitted", "reserved"))

    def _withdraw(self) -> None:
        """A spawn was not recorded."""
        self.act(self.gate.withdraw, [self._pick("admitted", "reserved").id])

    # --- an attempt -----------------------------------------------------------------------

    def _release(self) -> None:
        """An attempt has ended."""
        known = self._pick("dispatched")
        self.act(self.gate.release, known.id, self._attempt(known))

    def _requeue(self) -> None:
        """An attempt has failed, or was handed back."""
        known = self._pick("dispatched", "expired")
        attempt = max(0, self._attempt(known))
        delay = self._draw(delays)
        self.act(self.gate.requeue, _instance(known, State.QUEUED, attempt), attempt, delay)

    def _suspend(self) -> None:
        """An attempt waits."""
        known = self._pick("dispatched")
        self.act(self.gate.suspend, known.id, self._attempt(known), self._draw(workers))

    def _resume(self) -> None:
        """What it waited for is here."""
        known = self._pick("suspended")
        self.act(self.gate.resume, known.id, self._attempt(known))

    def _cancel(self) -> None:
        """Some end early."""
        kinds = st.sampled_from(["admitted", "dispatched", "queued", "on a thread"])
        ids = {self._pick(self._draw(kinds)).id for _ in range(self._draw(st.integers(1, 2)))}
        self.act(self.gate.cancel, sorted(ids))

    # --- workers and time -----------------------------------------------------------------

    def _beat(self) -> None:
        """All workers are well and renew what they run; that may be nothing of what is known."""
        known = self.model.items.values() if self._draw(st.booleans(), "renew") else ()
        pairs = [(item.id, item.attempt) for item in known]
        for worker, pool in zip(WORKERS, POOLS, strict=True):
            self.act(self.gate.heartbeat, worker, pool, 6, pairs)

    def _odd_beat(self) -> None:
        """A worker runs what it should not, or not what it should, and changes its offer."""
        running = self._draw(st.lists(st.sampled_from(sorted(self.news)), unique=True))
        pairs = [(one, self._attempt(self.news[one])) for one in running]
        worker, pool, capacity = map(self._draw, (workers, pools, capacities))
        self.act(self.gate.heartbeat, worker, pool, capacity, pairs)

    def _leave(self) -> None:
        """A worker takes no more."""
        self.act(self.gate.leave, self._draw(workers))

    def _pass_time(self) -> None:
        """Up to about one of the next moments when something is due, or a second."""
        now = self.model.now
        moments = {item.until for item in self.model.items.values()} | {*self.model.alive.values()}
        ahead = sorted(moment for moment in moments if moment > now)[:3] or [now + 1000]
        self._set_clock(self._draw(st.sampled_from(ahead)) + self._draw(st.integers(-1, 1)))

    def _leap(self) -> None:
        """The clock jumps back, or nobody does anything for long."""
        self._set_clock(self.model.now + self._draw(st.sampled_from([-2000, 11_000, 31_000])))

    # --- housekeeping ---------------------------------------------------------------------

    def _sweep(self) -> None:
        """Judge what has run out; now and then the judge dies over it."""
        budget, hold = self._draw(st.sampled_from([(1, 0.5), (3, 30.0), (100, 30.0)]))
        for one, attempt in self.act(self.gate.sweep, budget, hold).expired:
            fate = self._draw(st.sampled_from(["requeue", "forget", "nothing"]), one)
            row = _instance(self.news[one], State.QUEUED, attempt)
            if fate == "requeue":
                self.act(self.gate.requeue, row, attempt)
            elif fate == "forget":
                self.act(self.gate.forget, one, attempt)

    def _forget(self) -> None:
        """A judgement that comes late."""
        known = self._pick("expired")
        self.act(self.gate.forget, known.id, self._attempt(known))

    def _adopt(self) -> None:
        """The reconciler, or a worker in doubt, finds a row."""
        places = ("dispatched", "suspended", "expired") if self._draw(st.booleans()) else ()
        known = self._pick(*places)
        state = self._draw(st.sampled_from([State.QUEUED, State.RUNNING, State.WAITING]))
        attempt = max(0, self._attempt(known))
        worker, delay = self._draw(workers), self._draw(delays)
        self.act(self.gate.adopt, [_instance(known, state, attempt, worker, delay)])
        self.act(self.gate.pump)

    def _change_limits(self) -> None:
        """Somebody changes the limits."""
        session, tenant, pool, everywhere = self._draw(
            st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 5), st.integers(1, 7))
        )
        limits = replace(
            SMALL,
            session_concurrency=session,
            tenant_concurrency=tenant,
            pool_concurrency=pool,
            global_concurrency=everywhere,
        )
        self.act(self.gate.change_limits, limits)

    def _look(self) -> None:
        """Questions change nothing."""
        self.act(self.gate.glance, self._pick().id)
        self.act(self.gate.unknown, [*self.news, "stranger"])

    # --- comparing ------------------------------------------------------------------------

    def act(self, method: Callable[..., Any], *arguments: Any) -> Any:
        """Call the gate, let the model do the same, and compare."""
        self.is_whole = False
        result = method(*arguments)
        self._replay(may_exceed=method == self.gate.adopt)
        self.is_whole = True
        return result

    def _replay(self, may_exceed: bool = False) -> None:
        told: list[Entry] = []
        found = observe.dump(self.gate.redis, drain=True)
        journal = iter(read_journal(found.get(JOURNAL, ())))
        for call in self.gate.take_calls():
            entries = next(journal) if call.is_timed else []
            told += entries
            self._compare_call(call, [_told(entry) for entry in entries])
        self.found, before = found, self.found
        wanted = observe.expected(GATE, self.model)
        different = observe.differences(observe.state_of(GATE, found), wanted)
        assert not different, different
        observe.check_capacity(GATE, found, self.model)
        observe.check_ready_sets(GATE, found, self.model)
        _check_lists(found, told)
        if not may_exceed:
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

    def _new(self, depth: int, parent: Parent | None) -> NewInstance:
        tenant, session = self._draw(homes)
        new = spawn_of(
            id=f"i{len(self.news)}",
            tenant=tenant,
            session=session,
            pool=self._draw(pools),
            priority=self._draw(priorities),
            depth=depth,
            parent=parent,
        )
        self.news[new.id] = new
        return new

    def _pick(self, *places: str) -> NewInstance:
        """Mostly one of these places; now and then another, or one that the gate has forgotten."""
        whom = self._draw(st.integers(0, 9), "whom")
        items = list(self.model.items.values())
        kinds = [{item.place, "on a thread"} if item.thread else {item.place} for item in items]
        found = [item for item, kind in zip(items, kinds, strict=True) if kind & {*places} or whom < 2]
        if found and whom > 0:
            return self.news[self._draw(st.sampled_from(found)).id]
        return self._draw(st.sampled_from(list(self.news.values())))

    def _attempt(self, new: NewInstance) -> int:
        """The newest attempt of an instance, or one beside it."""
        item = self.model.items.get(new.id)
        return (item.attempt if item else 0) + self._draw(offsets)


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
