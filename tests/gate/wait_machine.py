"""Random waits, locks, ends and losses, done to a gate and to the model of its waits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast
from unittest.mock import patch

from hypothesis import note
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from orchestrator.admission.keys import key
from orchestrator.domain.instance import Instance
from orchestrator.domain.lifecycle import State
from orchestrator.domain.limits import Limits
from orchestrator.domain.priority import Priority
from orchestrator.domain.waits import Dependencies, KeptLock, WaitKind
from orchestrator.domain.waits import Wait as DomainWait
from tests.gate import observe
from tests.gate.rows import in_seconds, milliseconds_until, row_of
from tests.gate.traced import DISPATCH, GATE, LEASE, TracedGate
from tests.gate.twins import JOURNAL
from tests.support.clock import read_journal
from tests.support.make import spawn_of
from tests.support.wait_model import NEVER, RowWait, Seen, Wait, WaitModel

WIDE = Limits(session_concurrency=1_000, tenant_concurrency=1_000)
TENANT = "ä 1"
LOCKS = ("repo:main", "repo:dev")
RUNS = ("r", "s")
#: More than these make random waits unlikely to meet.
MOST_ALIVE = 7
STATES = {"dispatched": State.RUNNING, "suspended": State.WAITING}

#: What may happen, and how often.
ACTIONS = {
    "spawn": 3,
    "begin_wait": 9,
    "wait_for_replies": 3,
    "repeat_wait": 2,
    "end_wait": 1,
    "answer": 3,
    "block": 1,
    "take_lock": 8,
    "ask_again": 3,
    "free_lock": 4,
    "hold_lock": 2,
    "suspend": 3,
    "resume": 2,
    "sleep": 8,
    "wake": 2,
    "hold_back": 2,
    "tell_ended": 1,
    "release": 2,
    "requeue": 1,
    "cancel": 1,
    "adopt": 1,
    "pass_time": 2,
    "lose_everything": 1,
    "hold_late": 1,
    "recheck": 1,
}
actions = st.sampled_from([name for name, weight in ACTIONS.items() for _ in range(weight)])
#: An attempt as its fence sees it: mostly the newest.
offsets = st.sampled_from([0, 0, 0, 0, 0, 0, -1, 1])


class WaitMachine(RuleBasedStateMachine):
    """Every action is a call of `Gate`; there is room for everybody to run."""

    def __init__(self, gate: TracedGate) -> None:
        super().__init__()
        self.gate = gate
        gate.open(WIDE)
        gate.heartbeat("worker", "default", 1_000, [])
        self.model = WaitModel(gate.clock.now, TENANT, round(LEASE * 1000), round(DISPATCH * 1000))
        self.rows: dict[str, Instance] = {}
        #: claims that were made, by instance; locks that were given: id, claim, name, token
        self.claims: dict[str, list[str]] = {}
        #: what Redis held when it was last looked at, and whether that is now
        self._found: observe.Dump = {}
        self._is_fresh = False
        self.given: list[tuple[str, str, str, int]] = []
        #: what the rows of those that have slept say; who has ended
        self.slept: dict[str, DomainWait] = {}
        self.held: dict[str, Dependencies] = {}
        self.ended: set[str] = set()

    @initialize(victim=st.sampled_from(["closer", "closer", "youngest", "lowest_priority"]))
    def open(self, victim: str) -> None:
        """Some instances run, under one of the policies."""
        self.model.victim = victim
        self.gate.configure(WIDE, lease=LEASE, dispatch=DISPATCH, outbox=False, victim=victim)
        for number in range(4):
            self._start(Priority(number % 3))

    @rule(action=actions, data=st.data())
    def happens(self, action: str, data: st.DataObject) -> None:
        """One thing happens."""
        self._draw = data.draw
        if self.model.items or action == "lose_everything":
            getattr(self, f"_{action}")()
        else:
            self._spawn()
        self._compare()

    # --- waits ----------------------------------------------------------------------------

    def _begin_wait(self, kind: str = "ended") -> None:
        one = self._pick("dispatched")
        others = st.sampled_from([*sorted(self.model.items), "stranger"])
        count = self._draw(st.sampled_from([1, 1, 2, 2, 3, 0]))
        targets = sorted({self._draw(others) for _ in range(count)})
        needs = self._draw(st.sampled_from([len(targets), len(targets), 1, 2]))
        self._call_wait(one, self._new_claim(one), targets, needs, kind)

    def _wait_for_replies(self) -> None:
        self._begin_wait("reply")

    def _repeat_wait(self) -> None:
        over = [one for one, wait in self.model.waits.items() if wait.needs is None]
        one = self._draw(st.sampled_from(sorted(over))) if over else self._pick("suspended")
        wait = self.model.waits.get(one)
        claim = wait.claim if wait else self._old_claim(one)
        self._call_wait(one, claim, sorted(wait.targets if wait else ()), 1, "ended")

    def _call_wait(self, one: str, claim: str, targets: list[str], needs: int, kind: str) -> None:
        attempt = self._attempt(one)
        values: dict[str, Any] = {"id": one, "attempt": attempt, "claim": claim, "kind": kind}
        values |= {"needs": needs, "targets": targets}
        self._act(
            lambda: self.gate.begin_wait(self.rows[one], attempt, claim, targets, needs, kind),
            lambda seen: self.model.begin_wait(**values, seen=seen),
        )

    def _end_wait(self) -> None:
        one = self._pick()
        claim = self._old_claim(one)
        self._act(
            lambda: self.gate.end_wait(self.rows[one], claim),
            lambda _: self.model.end_wait(id=one, claim=claim),
        )

    def _answer(self) -> None:
        asking = [one for one, wait in self.model.waits.items() if wait.kind == "reply"]
        one = self._draw(st.sampled_from(sorted(asking or self.model.items)))
        wait = self.model.waits.get(one)
        likely = sorted(wait.targets) if wait else []
        target = self._draw(st.sampled_from(likely or sorted(self.model.items)))
        self._act(
            lambda: self.gate.answer(self.rows[one], target),
            lambda _: self.model.answer(id=one, target=target),
        )

    def _block(self) -> None:
        one = self._pick("dispatched")
        attempt, claim = self._attempt(one), self._new_claim(one)
        self._act(
            lambda: self.gate.block(self.rows[one], attempt, claim),
            lambda _: self.model.block(id=one, attempt=attempt, claim=claim),
        )

    def _recheck(self) -> None:
        self._act(
            lambda: self.gate.recheck_waits(1_000, 60.0, most=1),
            lambda seen: self.model.recheck(again_ms=60_000, seen=seen),
        )

    # --- locks ----------------------------------------------------------------------------

    def _take_lock(self) -> None:
        one = self._pick("dispatched")
        self._ask(one, self._new_claim(one), self._draw(st.sampled_from(LOCKS)))

    def _ask_again(self) -> None:
        """The waiter looks, or the reply of a holder was lost."""
        waits = self.model.waits.items()
        waiting = [(one, wait.claim, lock) for one, wait in waits for lock in _locks_of(wait)]
        known = sorted(waiting) * 3 or [(self._pick(), "r:0", LOCKS[0])]
        known += [(lock.holder, lock.claim, LOCKS[0]) for lock in self.model.locks.values()]
        self._ask(*self._draw(st.sampled_from(known)))

    def _ask(self, one: str, claim: str, lock: str) -> None:
        attempt = self._attempt(one)
        reply = self._act(
            lambda: self.gate.take_lock(self.rows[one], attempt, claim, lock),
            lambda seen: self.model.take_lock(
                id=one, attempt=attempt, claim=claim, lock=lock, seen=seen
            ),
        )
        if reply.state == "held":
            self.given.append((one, claim, lock, reply.token))

    def _free_lock(self) -> None:
        held = [
            (known.holder, known.claim, name)
            for name in LOCKS
            if (known := self.model.locks.get(self.model.node(name)))
        ]
        past = [given[:3] for given in self.given]
        if held or past:
            one, claim, lock = self._draw(st.sampled_from(held or past))
            fault = self._draw(st.sampled_from(["none"] * 6 + ["claim", "id"]))
            claim = "r:none" if fault == "claim" else claim
            one = self._pick() if fault == "id" else one
            self._act(
                lambda: self.gate.free_lock(self.rows[one], claim, lock),
                lambda _: self.model.free_lock(id=one, claim=claim, lock=lock),
            )

    def _hold_lock(self) -> None:
        """A holder, of now or before, says so."""
        if self.given:
            recent = self._draw(st.booleans(), "recent")
            given = self._draw(st.sampled_from(self.given[-1:] if recent else self.given))
            self._hold(*given)

    def _hold(self, one: str, claim: str, lock: str, token: int) -> None:
        attempt = self._attempt(one)
        self._act(
            lambda: self.gate.hold_locks([(self.rows[one], attempt, claim, lock, token)]),
            lambda _: self.model.hold_lock(
                id=one, attempt=attempt, claim=claim, lock=lock, token=token
            ),
        )

    # --- what else happens to an instance -------------------------------------------------

    def _spawn(self) -> None:
        if len(self.model.items) < MOST_ALIVE:
            self._start(self._draw(st.sampled_from([Priority.HIGH, Priority.NORMAL])))

    def _start(self, priority: Priority) -> None:
        # Ids of one length, so that their order is that of their age.
        new = spawn_of(id=f"i{len(self.rows):03}", tenant=TENANT, priority=priority)
        self.rows[new.id] = row_of(new, State.RUNNING, 1)
        self.gate.check_in(new, "queue")
        self.gate.follow(new)
        self.model.start(new.id, int(priority))

    def _hold_back(self) -> None:
        """A spawn that waits for others before it starts."""
        if len(self.model.items) >= MOST_ALIVE:
            return
        new = spawn_of(id=f"i{len(self.rows):03}", tenant=TENANT)
        self.rows[new.id] = row_of(new, State.QUEUED, 0)
        likely = [*self.model.items, *sorted(self.ended)[-1:]]
        targets = sorted({self._draw(st.sampled_from(likely)) for _ in range(2)})
        needs = self._draw(st.sampled_from([len(targets), 1]))
        self.held[new.id] = Dependencies(tuple(targets))
        self.gate.check_in(new, "queue", held=True)
        self._act(
            lambda: self.gate.hold(new, targets, needs),
            lambda _: self.model.hold(new.id, int(new.priority), needs, targets),
        )

    def _sleep(self) -> None:
        """An attempt waits for what it has asked for, or for something else, with nobody there."""
        one = self._pick("dispatched")
        item, wait = self.model.items[one], self.model.waits.get(one)
        if item.place != "dispatched":
            return
        wake_in = self._draw(st.sampled_from([None, None, None, 0.0, 5.0]))
        ready = self._draw(st.sampled_from([False] * 5 + [True]))
        targets = sorted(wait.targets) if wait else []
        ended = [target for target in targets if target in self.ended]
        self.slept[one] = self._row_wait(one, wait, wake_in)
        wake_ms = NEVER if wake_in is None else wake_in * 1000
        self._act(
            lambda: self.gate.suspend(one, item.attempt, wake_in=wake_in, ready=ready, ended=ended),
            lambda _: self.model.doze(one, wake_ms, ready, ended),
        )

    def _row_wait(self, one: str, wait: Wait | None, wake_in: float | None) -> DomainWait:
        held = [(name, self.model.locks.get(self.model.node(name))) for name in LOCKS]
        kept = [KeptLock(name, lock.claim, lock.token) for name, lock in held if lock]
        mine = [lock for lock in kept if self.model.locks[self.model.node(lock.name)].holder == one]
        row = DomainWait(WaitKind.MESSAGE, 0, until=in_seconds(wake_in or 0), locks=tuple(mine))
        if wait is None or wait.needs is None or wait.attempt != self.model.items[one].attempt:
            return row
        if wait.kind == "lock":
            return replace(row, kind=WaitKind.LOCK, claim=wait.claim, name=_locks_of(wait)[0])
        if wait.kind == "ended":
            ids = tuple(sorted(wait.targets))
            return replace(
                row, kind=WaitKind.ENDED, claim=wait.claim, targets=ids, needs=wait.needs
            )
        return row

    def _wake(self) -> None:
        """A message has come, or the reply to the last one was lost."""
        one = self._pick("suspended")
        self._act(lambda: self.gate.wake([one]), lambda _: self.model.wake([one]))

    def _tell_ended(self) -> None:
        """An end of which the gate may not have been told."""
        nodes = sorted(self.model.waiters.keys() & {*self.model.items, *self.ended, "stranger"})
        if nodes:
            target = self._draw(st.sampled_from(nodes))
            self._act(lambda: self.gate.tell_ended([target]), lambda _: self.model.end([target]))

    def _suspend(self) -> None:
        one = self._pick("dispatched")
        if self.model.items[one].place == "dispatched":
            self.gate.suspend(one, self.model.items[one].attempt, "worker")
            self.model.suspend(one)

    def _resume(self) -> None:
        one = self._pick("suspended")
        item = self.model.items[one]
        if item.place == "suspended" and not item.stop:
            self.gate.resume(one, item.attempt)
            self.model.resume(one)

    def _release(self) -> None:
        one, ended = self._pick(), self._draw(st.sampled_from([True, True, True, False]))
        self.ended |= {one} if ended else set()
        self._act(
            lambda: self.gate.release(one, self.model.items[one].attempt, ended=ended),
            lambda _: self.model.release(one, ended=ended),
        )

    def _requeue(self) -> None:
        one = self._pick("expired")
        item = self.model.items[one]
        if not item.stop:
            self._act(
                lambda: self.gate.requeue(self.rows[one], item.attempt),
                lambda _: self.model.requeue(one),
            )

    def _cancel(self) -> None:
        one = self._pick()
        self.ended.add(one)
        self._act(lambda: self.gate.cancel([one]), lambda _: self.model.cancel(one))

    def _adopt(self) -> None:
        one = self._pick("expired")
        if self.model.items[one].place == "held":
            return
        place = self._draw(st.sampled_from(sorted(STATES)))
        wait = self.slept.get(one) if place == "suspended" and self._draw(st.booleans()) else None
        row, sleeps = self._row(one, place, wait), None if wait is None else _to_model(wait)
        self._act(lambda: self.gate.adopt([row]), lambda _: self.model.adopt(one, place, sleeps))

    def _pass_time(self) -> None:
        """Some workers renew their leases meanwhile, others do not."""
        now = self.model.now + self._draw(st.sampled_from([1, 3_000, 10_000, 20_000]))
        self.gate.clock.set(now)
        self.model.now = now
        all_well = self._draw(st.booleans(), "all well")
        alive = sorted(self.model.items)
        renewed = [one for one in alive if all_well or self._draw(st.booleans())]
        pairs = [(one, self.model.items[one].attempt) for one in renewed]
        self._act(
            lambda: self.gate.heartbeat("worker", "default", 1_000, pairs),
            lambda _: self.model.beat(renewed),
        )

    def _lose_everything(self) -> None:
        """Redis is emptied, and the gate is rebuilt from the rows."""
        places = {
            one: item.place
            for one, item in self.model.items.items()
            if item.place in (*STATES, "held") and not item.stop
        }
        asleep = {one for one in places if self.model.items[one].is_asleep}
        waits = {one: self.slept[one] for one in asleep if places[one] != "held"}
        sleeps = {one: _to_model(wait) for one, wait in waits.items()}
        for one in asleep - waits.keys():
            ids = self.held[one].ids
            sleeps[one] = RowWait("after", "after", ids, len(ids), place="held")
        gate, self._found = self.gate, {}
        gate.redis.flushall()
        gate.clock.set(self.model.now)
        gate.begin_rebuild("again", 60.0)
        victim = self.model.victim
        gate.configure(WIDE, lease=LEASE, dispatch=DISPATCH, outbox=False, victim=victim)
        gate.adopt([self._row(one, place, waits.get(one)) for one, place in places.items()])
        gate.finish_rebuild("again")
        gate.heartbeat("worker", "default", 1_000, [])
        self.model.forget_all(places, sleeps)
        told = [one for one in sorted(self.ended) if one in self.model.waiters]
        self._act(lambda: self.gate.tell_ended([*told, "x"]), lambda _: self.model.end(told))

    def _hold_late(self) -> None:
        """After a loss, a holder waits for one that waits for its lock, and only then says so."""
        held = [given for given in self.given if given[0] in self.model.items]
        if held:
            holder, claim, lock, token = held[-1]
            self._lose_everything()
            for waiter in sorted(self.model.items.keys() - {holder})[:1]:
                self._ask(waiter, self._new_claim(waiter), lock)
                self._call_wait(holder, self._new_claim(holder), [waiter], 1, "ended")
                self._hold(holder, claim, lock, token)

    # --- the end --------------------------------------------------------------------------

    def teardown(self) -> None:
        """Everybody ends, and nothing stays behind."""
        for one in list(self.model.items):
            self.gate.wake([one])
            self.model.wake([one])
            self.gate.release(one, self.model.items[one].attempt)
            self.model.release(one, ended=True)
            self._compare()
        counters = {key(GATE, name) for name in ("lock_token", "lock_sequence", "locks_closed")}
        assert set(_ours(self._found)) <= counters

    # --- helpers --------------------------------------------------------------------------

    def _act(self, do: Callable[[], Any], expect: Callable[[Seen], Any]) -> Any:
        """Do it, and let the model say whether that was right."""
        self.gate.take_calls()
        _take_woken(self.gate)
        before = _failures(self._found)
        result = do()
        [call, *_] = self.gate.take_calls()
        note(f"{call.name}{call.values} -> {call.reply}")
        self._found, self._is_fresh = observe.dump(self.gate.redis), True
        after = _failures(self._found)
        failed = {one: words for one, words in after.items() if before.get(one) != words}
        self.model.woken = []
        reply = call.reply if isinstance(call.reply, list) else []
        wanted = expect(Seen([str(word) for word in reply], failed))
        if wanted is not None:
            assert call.reply == wanted, f"{call.name} answered {call.reply}, not {wanted}"
        woken = _take_woken(self.gate)
        assert sorted(woken) == sorted(self.model.woken), f"{call.name} woke {woken}"
        return result

    def _compare(self) -> None:
        self.gate.take_calls()
        if not self._is_fresh:
            self._found = observe.dump(self.gate.redis)
        self._is_fresh = False
        different = observe.differences(_ours(self._found), _expected(self.model))
        assert not different, different
        for one, item in self.model.items.items():
            known = cast(dict[str, str], self._found[key(GATE, "instance", one)])
            assert (known["place"], int(known["attempt"])) == (item.place, item.attempt), one
        # Only what a late holder brought back may be stuck, until somebody looks again.
        assert self.model.unchecked or not self.model.stuck()

    def _pick(self, place: str = "") -> str:
        """Mostly one at this place."""
        items = self.model.items
        fitting = [one for one, item in items.items() if item.place == place]
        strict = self._draw(st.integers(0, 9), "strict") > 0
        return self._draw(st.sampled_from(sorted(fitting if fitting and strict else items)))

    def _attempt(self, one: str) -> int:
        known = self.model.items.get(one)
        return (known.attempt if known else 1) + self._draw(offsets)

    def _new_claim(self, one: str) -> str:
        claims = self.claims.setdefault(one, [])
        claims.append(f"{self._draw(st.sampled_from([*RUNS[:1] * 4, *RUNS]))}:{len(claims)}")
        return claims[-1]

    def _old_claim(self, one: str) -> str:
        return self._draw(st.sampled_from([*self.claims.get(one, []), "r:0"][-3:]))

    def _row(self, one: str, place: str, wait: DomainWait | None = None) -> Instance:
        row = self.rows[one]
        new = spawn_of(id=one, tenant=TENANT, priority=row.priority)
        if place == "held":
            return row_of(new, State.QUEUED, 0, depends_on=self.held[one])
        attempt = self.model.items[one].attempt
        return row_of(new, STATES[place], attempt, "worker", wait=wait)


#: What the model speaks of; of the rest other tests do.
_OURS = (
    *("wait", "targets", "waiters", "unchecked", "blocked", "holder", "locks", "timers", "ended"),
    *("lock_token", "locks_closed", "lock_sequence"),
)


def _to_model(wait: DomainWait) -> RowWait:
    """What a row says, in the model's words."""
    wake_ms = max(1, milliseconds_until(wait.until)) if wait.until else NEVER
    locks = tuple((lock.name, lock.claim, lock.token) for lock in wait.locks)
    name = wait.name if wait.kind is WaitKind.LOCK else ""
    return RowWait(str(wait.kind), wait.claim, wait.targets, wait.needs, name, wake_ms, locks)


def _locks_of(wait: Wait) -> list[str]:
    """The locks that a wait is for; of one that is over it is not known any more."""
    if wait.kind != "lock":
        return []
    return [lock for lock in LOCKS if any(node.endswith(lock) for node in wait.targets)] or [*LOCKS]


def _ours(dump: observe.Dump) -> observe.Dump:
    prefixes = tuple(key(GATE, name) for name in _OURS)
    return {name: value for name, value in dump.items() if name.startswith(prefixes)}


def _take_woken(gate: TracedGate) -> list[str]:
    """Who was told, since the last look, that its wait may be over."""
    lines = cast(list[str], gate.redis.lrange(JOURNAL, 0, -1))
    gate.redis.delete(JOURNAL)
    prefix = key(GATE, "woken")
    told = [entry.target for call in read_journal(lines) for entry in call]
    return [name.removeprefix(prefix) for name in told if name.startswith(prefix)]


def _failures(dump: observe.Dump) -> dict[str, tuple[str, ...]]:
    """The circle of each wait that has failed."""
    prefix = key(GATE, "wait")
    return {
        name.removeprefix(prefix): tuple(str(value["cycle"]).split("\x1f")[1:])
        for name, value in dump.items()
        if name.startswith(prefix) and isinstance(value, dict) and "cycle" in value
    }


def _expected(model: WaitModel) -> observe.Dump:
    wanted: dict[str, Any] = {
        key(GATE, "lock_token"): str(model.token or ""),
        key(GATE, "lock_sequence"): str(model.asked or ""),
        key(GATE, "locks_closed"): str(model.closed_until or ""),
        key(GATE, "unchecked"): {one: float(at) for one, at in model.unchecked.items()},
        key(GATE, "blocked"): {
            one: float(wait.since) for one, wait in model.waits.items() if wait.kind == "timed"
        },
    }
    for one, wait in model.waits.items():
        fields = {"claim": wait.claim, "kind": wait.kind, "since": str(wait.since)}
        fields |= {} if wait.attempt is None else {"attempt": str(wait.attempt)}
        fields |= {} if wait.needs is None else {"needs": str(wait.needs)}
        fields |= {"cycle": "\x1f".join(["deadlock", *wait.cycle])} if wait.cycle else {}
        wanted[key(GATE, "wait", one)] = fields
        wanted[key(GATE, "targets", one)] = wait.targets
    timers = {one: float(item.timer) for one, item in model.items.items() if item.timer is not None}
    wanted[key(GATE, "timers")] = timers
    for node, line in model.waiters.items():
        wanted[key(GATE, "waiters", node)] = {one: float(rank) for one, rank in line.items()}
    for node, lock in model.locks.items():
        wanted[key(GATE, "holder", node)] = {
            "holder": lock.holder,
            "claim": lock.claim,
            "token": str(lock.token),
            "since": str(lock.since),
        }
        name = key(GATE, "locks", lock.holder)
        wanted[name] = {*wanted.get(name, ()), node}
    return {name: value for name, value in wanted.items() if value}


def check(gate: TracedGate, settings: hypothesis_settings) -> None:
    """Let random things happen to this gate until one shows a fault, or enough have."""
    with patch("orchestrator.admission.values.milliseconds_until", milliseconds_until):
        run_state_machine_as_test(
            lambda: WaitMachine(gate),  # type: ignore[arg-type]  # anything that makes one will do
            settings=settings,
        )
