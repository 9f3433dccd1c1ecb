"""Random things that happen to a gate and its model."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from unittest.mock import patch

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from orchestrator.admission.keys import key
from orchestrator.domain.instance import NewInstance, Parent
from orchestrator.domain.lifecycle import State
from orchestrator.domain.limits import Limits
from orchestrator.domain.priority import Priority
from orchestrator.domain.waits import Wait, WaitKind
from tests.gate import explained, observe
from tests.gate.rows import in_seconds, milliseconds_until, parent_of, row_of
from tests.gate.traced import GATE, TracedGate
from tests.gate.twins import Twins
from tests.support.gate_model import NEVER, Item
from tests.support.make import spawn_of

SMALL = Limits(
    max_depth=2,
    session_concurrency=2,
    tenant_concurrency=3,
    pool_concurrency=4,
    global_concurrency=5,
    session_queue=4,
    tenant_queue=5,
    global_queue=9,
)
#: What is said of single names.
NAMED = {
    "aging_ms": 4000,
    "agent:limited": 2,
    "tenant:b": 2,
    "session:1 a1 x": 1,
    "weight:tenant:a1": 4,
    "weight:session:1 ax": 0.3,
    "resources:keen": "model/one tool/two",
    "preempt_from": 0,
}
AGENTS = ("work", "work", "limited", "keen")

#: Tenants and their sessions: some names are the same, some run into each other when joined.
HOMES = (("a", "x"), ("a", "1 x"), ("a1", " x"), ("b", "x"), ("ä:p", "x"))
Home = tuple[str, str]
POOLS = ("p", "q")
WORKERS = ("w1", "w2")

homes = st.sampled_from([*HOMES, HOMES[0], HOMES[0]])
pools = st.sampled_from(POOLS)
agents = st.sampled_from(AGENTS)
workers = st.sampled_from(WORKERS)
priorities = st.sampled_from([Priority.CRITICAL, Priority.NORMAL, Priority.BACKGROUND])
wishes = st.sampled_from(["queue", "queue", "refuse"])
#: An attempt as its fence sees it: mostly the newest, else one too old or too new.
offsets = st.sampled_from([0, 0, 0, -1, 1])
delays = st.sampled_from([0.0, 0.0, 0.005, 5.0])
#: What a worker offers; mostly enough that the other limits are met.
capacities = st.sampled_from([6, 6, 4, 2, 0])

#: What may happen, and how often.
ACTIONS = {
    "spawn": 4,
    "check_in": 3,
    "check_in_late": 1,
    "repeat_check_in": 2,
    "follow": 1,
    "withdraw": 2,
    "release": 3,
    "requeue": 2,
    "suspend": 3,
    "resume": 2,
    "sleep": 4,
    "wake": 2,
    "hold": 2,
    "tell_ended": 1,
    "cancel": 2,
    "pause": 3,
    "unpause": 2,
    "cancel_early": 1,
    "beat": 3,
    "odd_beat": 1,
    "leave": 1,
    "pass_time": 3,
    "leap": 1,
    "sweep": 2,
    "forget": 1,
    "adopt": 3,
    "change_limits": 1,
    "look": 1,
}
actions = st.sampled_from([name for name, weight in ACTIONS.items() for _ in range(weight)])


class GateMachine(RuleBasedStateMachine):
    """Every action is a call of `Gate`, or time that passes.

    One rule does them all: Hypothesis leaves some rules out of each example, and without spawns,
    workers or time an example shows little.
    """

    def __init__(self, gate: TracedGate) -> None:
        super().__init__()
        self.gate = gate
        self.gate.open(SMALL)
        self.gate.set_fields(NAMED)
        self.twins = Twins(gate)
        self.news: dict[str, NewInstance] = {}

    @initialize(first=capacities, second=capacities)
    def open(self, first: int, second: int) -> None:
        """Two workers start."""
        self.twins.act(self.gate.heartbeat, "w1", "p", first, [])
        self.twins.act(self.gate.heartbeat, "w2", "q", second, [])

    @rule(action=actions, data=st.data())
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
        verdicts = self.twins.act(self.gate.check_in_many, news, ["queue"] * count)
        accepted = [new for new, verdict in zip(news, verdicts, strict=True) if not verdict.refusal]
        self.twins.act(self.gate.follow_many, accepted)

    def _check_in(self) -> None:
        """A spawn of which nothing more is heard for now, perhaps by a running attempt."""
        depth = self._draw(st.sampled_from([0, 1, SMALL.max_depth, SMALL.max_depth + 1]))
        has_parent: bool = bool(self.news) and self._draw(st.booleans(), "has parent")
        parent = None
        if has_parent:
            known = self._pick(self._draw(st.sampled_from(["dispatched", "to be stopped"])))
            parent = parent_of(known, self._attempt(known))
        self.twins.act(self.gate.check_in, self._new(depth, parent), self._draw(wishes))

    def _check_in_late(self) -> None:
        """The first to come after a slot has run out."""
        ends = [item.until for item in self.twins.model.items.values() if item.holds]
        self.twins.set_clock(max([self.twins.model.now, *map(round, ends[:1])]))
        self._check_in()

    def _repeat_check_in(self) -> None:
        """The reply was lost."""
        known = self._pick(self._draw(st.sampled_from(["admitted", "reserved"])))
        if known.id in self.twins.model.items:
            self.twins.act(self.gate.check_in, known, "queue")

    def _follow(self) -> None:
        """The second half of a spawn, or a repetition, or a spawn in a caller's transaction."""
        self.twins.act(self.gate.follow, self._pick("admitted", "reserved"))

    def _withdraw(self) -> None:
        """A spawn was not recorded."""
        self.twins.act(self.gate.withdraw, [self._pick("admitted", "reserved", "expired").id])

    # --- an attempt -----------------------------------------------------------------------

    def _release(self) -> None:
        """An attempt has ended."""
        kinds = ["dispatched", "dispatched", "expired", "resuming"]
        known = self._pick(self._draw(st.sampled_from([*kinds, "suspended"])))
        call = partial(self.gate.release, ended=self._draw(st.sampled_from([True, True, False])))
        self.twins.act(call, known.id, self._attempt(known))

    def _requeue(self) -> None:
        """An attempt has failed, or was handed back."""
        known = self._pick("dispatched", "expired")
        attempt = max(0, self._attempt(known))
        delay = self._draw(delays)
        self.twins.act(self.gate.requeue, row_of(known, State.QUEUED, attempt), attempt, delay)

    def _suspend(self) -> None:
        """An attempt waits."""
        known = self._pick("dispatched")
        self.twins.act(self.gate.suspend, known.id, self._attempt(known), self._draw(workers))

    def _sleep(self) -> None:
        """An attempt waits with nobody there; now and then the gate is told twice."""
        known = self._pick("dispatched", "to be stopped")
        wake_in = self._draw(st.sampled_from([None, None, 0.0, 0.004, 3.0, 20.0]))
        ready = self._draw(st.sampled_from([False, False, False, True]))
        call = partial(self.gate.suspend, wake_in=wake_in, ready=ready)
        self.twins.act(call, known.id, self._attempt(known))

    def _wake(self) -> None:
        """A message has come."""
        kinds = st.sampled_from(["suspended", "suspended", "dispatched", "held"])
        self.twins.act(self.gate.wake, sorted({self._pick(self._draw(kinds)).id, "stranger"}))

    def _hold(self) -> None:
        """A spawn that waits for others first."""
        new = self._new(0, None)
        if not self.twins.act(partial(self.gate.check_in, held=True), new, "queue").refusal:
            targets = sorted({self._pick("dispatched").id for _ in range(3)} - {new.id})
            needs = self._draw(st.sampled_from([len(targets), 1, 0, 9]))
            for _ in range(self._draw(st.sampled_from([1, 1, 2]))):
                self.twins.act(self.gate.hold, new, targets, needs)

    def _tell_ended(self) -> None:
        """Ends of which the gate was not told."""
        held = [item for item in self.twins.model.items.values() if item.targets]
        ids = {target for item in held for target in item.targets} | {self._pick().id}
        self.twins.act(self.gate.tell_ended, [self._draw(st.sampled_from(sorted(ids)))])

    def _resume(self) -> None:
        """What it waited for is here."""
        known = self._pick("suspended")
        self.twins.act(self.gate.resume, known.id, self._attempt(known))

    def _cancel(self) -> None:
        """Some end early."""
        kinds = st.sampled_from(["dispatched", "queued", "resuming", "resuming"])
        ids = {self._pick(self._draw(kinds)).id for _ in range(self._draw(st.integers(1, 2)))}
        self.twins.act(self.gate.cancel, sorted(ids))

    def _pause(self) -> None:
        """Somebody keeps some from running."""
        kinds = st.sampled_from(["queued", "queued", "dispatched", "suspended", "delayed", "held"])
        ids = {self._pick(self._draw(kinds)).id for _ in range(self._draw(st.integers(1, 2)))}
        self.twins.act(self.gate.pause, sorted({*ids, "stranger"}))
        self.twins.act(self.gate.pump)

    def _unpause(self) -> None:
        """And lets them run again; some were not paused."""
        ids = {self._pick("paused").id for _ in range(self._draw(st.integers(1, 2)))}
        self.twins.act(self.gate.unpause, sorted({*ids, "stranger"}))
        self.twins.act(self.gate.pump)

    def _cancel_early(self) -> None:
        """A spawn is cancelled between its record and its follow; others have come meanwhile."""
        new = self._new(0, None)
        self.twins.act(self.gate.check_in, new, "queue")
        self._spawn()
        self.twins.act(self.gate.cancel, [new.id])

    # --- workers and time -----------------------------------------------------------------

    def _beat(self) -> None:
        """All workers are well and renew what they run; that may be nothing of what is known."""
        known = self.twins.model.items.values() if self._draw(st.booleans(), "renew") else ()
        pairs = [(item.id, item.attempt) for item in known]
        for worker, pool in zip(WORKERS, POOLS, strict=True):
            self.twins.act(self.gate.heartbeat, worker, pool, 6, pairs)

    def _odd_beat(self) -> None:
        """A worker runs what it should not, or not what it should, and changes its offer."""
        running = self._draw(st.lists(st.sampled_from(sorted(self.news)), unique=True))
        pairs = [(one, self._attempt(self.news[one])) for one in running]
        worker, pool, capacity = map(self._draw, (workers, pools, capacities))
        self.twins.act(self.gate.heartbeat, worker, pool, capacity, pairs)

    def _leave(self) -> None:
        """A worker takes no more."""
        self.twins.act(self.gate.leave, self._draw(workers))

    def _pass_time(self) -> None:
        """Up to about one of the next moments when something is due, or a second."""
        now = self.twins.model.now
        looks = {item.look for item in self.twins.model.items.values() if item.look < NEVER}
        items = self.twins.model.items.values()
        moments = {round(item.until) for item in items if item.until < NEVER} | {
            *map(round, looks),
            *(item.timer for item in items if item.timer is not None),
            *self.twins.model.alive.values(),
        }
        ahead = sorted(moment for moment in moments if moment > now)[:3] or [now + 1000]
        self.twins.set_clock(self._draw(st.sampled_from(ahead)) + self._draw(st.integers(-1, 1)))

    def _leap(self) -> None:
        """The clock jumps back, or nobody does anything for long."""
        self.twins.set_clock(
            self.twins.model.now + self._draw(st.sampled_from([-2000, 11_000, 31_000]))
        )

    # --- housekeeping ---------------------------------------------------------------------

    def _sweep(self) -> None:
        """Judge what has run out; now and then the judge dies over it."""
        budget, hold = self._draw(st.sampled_from([(1, 0.5), (3, 30.0), (100, 30.0)]))
        found = self.twins.act(self.gate.sweep, budget, hold)
        self.twins.act(self.gate.pump)
        for one, attempt, _why in found.expired:
            fate = self._draw(st.sampled_from(["requeue", "forget", "nothing"]), one)
            row = row_of(self.news[one], State.QUEUED, attempt)
            if fate == "requeue":
                self.twins.act(self.gate.requeue, row, attempt)
            elif fate == "forget":
                ended = self._draw(st.booleans())
                self.twins.act(partial(self.gate.forget, ended=ended), one, attempt)

    def _forget(self) -> None:
        """A judgement that comes late."""
        known = self._pick("expired")
        self.twins.act(self.gate.forget, known.id, self._attempt(known))

    def _adopt(self) -> None:
        """The reconciler, or a worker in doubt, finds a row."""
        places = ("dispatched", "suspended", "expired") if self._draw(st.booleans()) else ()
        known = self._pick(*places)
        state = self._draw(st.sampled_from([State.QUEUED, State.RUNNING, State.WAITING]))
        attempt = max(0, self._attempt(known))
        worker, delay = self._draw(workers), self._draw(delays)
        until = self._draw(st.sampled_from([0.0, 0.002, 5.0]))
        sleeps = Wait(WaitKind.TIMER, 0, until=in_seconds(until))
        wait = sleeps if state is State.WAITING and self._draw(st.booleans()) else None
        self.twins.act(self.gate.adopt, [row_of(known, state, attempt, worker, delay, wait)])
        self.twins.act(self.gate.pump)

    def _change_limits(self) -> None:
        """Somebody changes the limits."""
        session, tenant, pool, everywhere = self._draw(
            st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 5), st.integers(1, 7))
        )
        fields = {
            "aging_ms": NAMED["aging_ms"],
            "agent:limited": self._draw(st.integers(1, 3)),
            "fair_unit": self._draw(st.sampled_from(["starts", "slot_seconds", "tokens"])),
            "weight:tenant:a": self._draw(st.sampled_from([1, 0.5, 7])),
            "preempt_from": self._draw(st.sampled_from([0, 0, 2, -1])),
        }
        limits = replace(
            SMALL,
            session_concurrency=session,
            tenant_concurrency=tenant,
            pool_concurrency=pool,
            global_concurrency=everywhere,
        )
        self.twins.act(self.gate.change_limits, limits, fields)

    def _look(self) -> None:
        """Questions change nothing."""
        self.twins.act(self.gate.glance, self._pick().id)
        self.twins.act(self.gate.unknown, [*self.news, "stranger"])
        for one in [*self.news, "stranger"]:
            explained.check(self.twins.model, one, self.twins.act(self.gate.explain, one))

    # --- the end --------------------------------------------------------------------------

    def teardown(self) -> None:
        """Everything ends, everybody waiting gets a turn, and nothing stays behind."""
        if not self.twins.are_alike:
            return
        self.twins.act(self.gate.change_limits, SMALL)
        while self.twins.model.items:
            self._finish_some()
        for worker in WORKERS:
            self.twins.act(self.gate.leave, worker)
        left = set(observe.state_of(GATE, observe.dump(self.gate.redis)))
        allowed = [
            key(GATE, name) for name in ("config", "sequence", "refusals", "means", "drained")
        ]
        assert not [name for name in left if not name.startswith(tuple(allowed))]

    def _finish_some(self) -> None:
        for worker, pool in zip(WORKERS, POOLS, strict=True):
            self.twins.act(self.gate.heartbeat, worker, pool, 2, [])
        for item in list(self.twins.model.items.values()):
            self._finish(item)

    def _finish(self, item: Item) -> None:
        if item.place in ("admitted", "reserved"):
            self.twins.act(self.gate.follow, self.news[item.id])
        elif item.paused:
            self.twins.act(self.gate.unpause, [item.id])
            self.twins.act(self.gate.pump)
        elif item.is_asleep:
            self.twins.act(self.gate.wake, [item.id])
        elif item.place == "suspended" and not item.stop:
            self.twins.act(self.gate.resume, item.id, item.attempt)
        elif item.place == "delayed":
            self.twins.set_clock(max(round(item.until), self.twins.model.now))
        else:
            self.twins.act(self.gate.release, item.id, item.attempt)

    # --- helpers --------------------------------------------------------------------------

    def _new(self, depth: int, parent: Parent | None) -> NewInstance:
        tenant, session = self._draw(homes)
        new = spawn_of(
            id=f"i{len(self.news)}",
            tenant=tenant,
            session=session,
            pool=self._draw(pools),
            agent=self._draw(agents),
            priority=self._draw(priorities),
            preemptible=self._draw(st.sampled_from([True, True, True, False])),
            cost=self._draw(st.sampled_from([None, None, 0.01, 3.0, 100.0])),
            not_before=in_seconds(self._draw(delays)),
            expires_at=in_seconds(self._draw(st.sampled_from([0.0, 0.0, 1.0, 40.0]))),
            depth=depth,
            parent=parent,
        )
        self.news[new.id] = new
        return new

    def _pick(self, *places: str) -> NewInstance:
        """Mostly one of these places; now and then another, or one that the gate has forgotten."""
        whom = self._draw(st.integers(0, 9), "whom")
        items = list(self.twins.model.items.values())
        found = [item for item in items if _kinds(item) & {*places} or whom < 2]
        if found and whom > 0:
            return self.news[self._draw(st.sampled_from(found)).id]
        return self._draw(st.sampled_from(list(self.news.values())))

    def _attempt(self, new: NewInstance) -> int:
        """The newest attempt of an instance, or one beside it."""
        item = self.twins.model.items.get(new.id)
        return (item.attempt if item else 0) + self._draw(offsets)


def _kinds(item: Item) -> set[str]:
    """What an instance may be picked for."""
    kinds = {item.place}
    if item.place == "queued" and item.thread:
        kinds.add("resuming")
    if item.stop:
        kinds.add("to be stopped")
    return kinds


def check(gate: TracedGate, settings: hypothesis_settings) -> None:
    """Let random things happen to this gate until one shows a fault, or enough have."""
    with patch("orchestrator.admission.values.milliseconds_until", milliseconds_until):
        run_state_machine_as_test(
            lambda: GateMachine(gate),  # type: ignore[arg-type]  # anything that makes one will do
            settings=settings,
        )
