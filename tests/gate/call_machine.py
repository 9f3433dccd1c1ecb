"""Random calls of resources, made to a gate and to its model, compared after each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random
from typing import Any, cast

from hypothesis import note
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from orchestrator.admission.calls import Caller
from orchestrator.admission.keys import key
from orchestrator.domain.call import Amounts, Outcome
from orchestrator.domain.limits import Limits
from orchestrator.domain.provider import Hint
from orchestrator.domain.resource import UNDECLARED, BreakerPolicy, Resource
from tests.gate import observe
from tests.gate.traced import GATE, LEASE, TracedGate
from tests.support.call_model import DIMENSIONS, CallModel, Scope
from tests.support.clock import EPOCH, read_journal

QUICK = BreakerPolicy(
    failures=3,
    failure_rate=0.5,
    slow_rate=0.6,
    slow_call=4.0,
    min_calls=5,
    window=20.0,
    cooldown=5.0,
    max_cooldown=18.0,
    probes=2,
    ramp=6.0,
)
#: One of each kind: everything at once, one call a minute, no buckets, and each tenant by itself.
RESOURCES = (
    Resource(UNDECLARED, breaker=replace(QUICK, failures=None)),
    Resource(
        "llm",
        requests_per_minute=30,
        input_tokens_per_minute=1_000,
        output_tokens_per_minute=500,
        usd_per_hour=1.5,
        breaker=QUICK,
    ),
    Resource("rare", requests_per_minute=1, breaker=None),
    Resource("frail", requests_per_minute=None, breaker=QUICK),
    Resource("few", requests_per_minute=None, concurrency=2, breaker=QUICK),
    Resource("each", requests_per_minute=20, concurrency=2, per_tenant=True, breaker=QUICK),
)
FEW = RESOURCES[4]
#: What each example is about.
FOCUSES = (
    ("llm", "few", "each", "rare", "nobody/declared"),
    ("llm",),
    ("frail",),
    ("frail",),
    ("each", "few"),
)
TENANTS = ("a", "b", "b c")

numbers = st.integers(0, 11)
names = st.integers(0, 9)
tenants = st.sampled_from(TENANTS)
outcomes = st.sampled_from(
    [
        *(Outcome.SUCCESS, Outcome.SUCCESS, Outcome.SUCCESS),
        *(Outcome.TRANSIENT, Outcome.TRANSIENT, Outcome.TRANSIENT),
        *(Outcome.RATE_LIMITED, Outcome.CALLER),
    ]
)
tokens = st.sampled_from([0, 0, 10, 40, 80, 120, 250, 251])
money = st.sampled_from([0, 0.01, 0.1, 0.2])
hints = st.builds(
    Hint,
    st.sampled_from([0.0, 0.0, 0.0, 0.75, 4.0, 7200.0]),
    st.dictionaries(st.sampled_from(DIMENSIONS[:3]), st.sampled_from([0, 1, 3.5, 100]), max_size=2),
)
used = st.dictionaries(
    st.sampled_from(DIMENSIONS[1:]), st.sampled_from([0, 0.05, 30, 200, 900]), max_size=3
)


class Pair:
    """A gate and its model."""

    def __init__(self, gate: TracedGate) -> None:
        self.gate = gate
        self.model = CallModel(now=gate.clock.now, lease_ms=round(LEASE * 1000))

    def declare(self, resources: Sequence[Resource]) -> None:
        """Declare to both."""
        self.gate.declare(resources)
        self.gate.take_calls()
        self.model.resources |= {one.name: one for one in resources}

    def set_clock(self, now: int) -> None:
        """Let it be this time for both."""
        note(f"clock {now - self.model.now:+} ms")
        self.gate.clock.set(now)
        self.model.now = now

    def act(self, method: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Call this method of the gate, let the model do the same, and compare."""
        note(f"{method.__name__}{arguments}{options or ''}")
        result = method(*arguments, **options)
        found = observe.dump(self.gate.redis, drain=True)
        self.model.woken = []
        for call in self.gate.take_calls():
            reply = getattr(self.model, call.name)(**call.values)
            assert call.reply == reply, f"{call.name} answered {call.reply}, not {reply}"
        journal = cast(
            list[str], found.get(key(GATE, "generation").replace("generation", "journal"))
        )
        woken = [
            entry.target.removeprefix(key(GATE, "turn"))
            for entries in read_journal(journal)
            for entry in entries
        ]
        assert woken == self.model.woken, f"woke {woken}, not {self.model.woken}"
        for name, scope in self.model.scopes.items():
            _compare(name, scope, found, self.model)
        return result


def _compare(name: str, scope: Scope, found: observe.Dump, model: CallModel) -> None:
    """What is in Redis of one scope is what the model has."""

    def at(kind: str) -> dict[str, Any]:
        return cast(dict[str, Any], found.get(key(GATE, kind, name), {}))

    bucket = {field: float(value) for field, value in at("bucket").items()}
    if scope.is_kept:
        assert bucket.pop("at") == scope.at
        assert bucket.pop("blocked") == scope.blocked
        assert bucket.pop("mean_ms") == scope.mean
    assert {one: bucket[one] for one in bucket if one in scope.levels} == scope.levels
    assert at("calls") == scope.leases
    assert at("probes") == scope.probes
    order = [
        ticket[16:] for ticket in sorted(at("tickets"), key=lambda one: (at("tickets")[one], one))
    ]
    places = {one: (ticket.start, ticket.order) for one, ticket in scope.tickets.items()}
    assert order == sorted(places, key=lambda one: places[one])
    assert {one[16:]: until for one, until in at("ticket_ends").items()} == {
        one: ticket.until for one, ticket in scope.tickets.items()
    }
    turns = {field: float(value) for field, value in at("turns").items()}
    assert turns.pop("virtual", 0) == scope.virtual
    assert turns.pop("sequence", 0) == scope.arrivals
    assert turns == {f"t:{tenant}": end for tenant, end in scope.ends.items() if scope.arrivals}
    _compare_breaker(scope, at("breaker"), model)


def _compare_breaker(scope: Scope, fields: dict[str, str], model: CallModel) -> None:
    breaker = scope.breaker
    default = {"ramp_at": str(model.lost_at or 0), "state": "closed"}
    assert fields.get("state", "closed") == breaker.state
    for name in ("generation", "failures", "trips", "retry_at", "ramp_at", "probed"):
        found = float(fields.get(name, default.get(name, 0)))
        assert found == getattr(breaker, name), f"{name} is {found}"
    # No limit is exceeded, except by a lower one or by calls that have come back from the dead.
    if scope.resource.breaker:
        assert len(scope.probes) + breaker.probed <= scope.resource.breaker.probes


def open_pair(gate: TracedGate, resources: Sequence[Resource], *, lost: bool) -> Pair:
    """A new gate and its model; `lost`: one that has lost everything just now."""
    gate.redis.flushall()
    gate.clock.set(EPOCH)
    gate.begin_rebuild("token", 60.0)
    gate.set_limits(Limits())
    pair = Pair(gate)
    if lost:
        assert gate.note_loss("token")
        pair.model.lost_at = EPOCH
    pair.declare(resources)
    gate.finish_rebuild("token")
    gate.redis.delete(key(GATE, "generation").replace("generation", "journal"))
    gate.take_calls()
    return pair


class CallMachine(RuleBasedStateMachine):
    """What may happen to calls."""

    gate: TracedGate

    @initialize(lost=st.sampled_from([False, False, True]), focus=st.sampled_from(FOCUSES))
    def begin(self, lost: bool, focus: tuple[str, ...]) -> None:
        """An open gate, perhaps one that has lost everything just now."""
        self.focus = focus
        self.pair = open_pair(self.gate, RESOURCES, lost=lost)
        self.callers: dict[int, Caller] = {}
        self.generation = 0

    def _name(self, number: int) -> str:
        return self.focus[number % len(self.focus)]

    def _caller(self, number: int, resource: int, tenant: str) -> Caller:
        fresh = Caller(f"{number}-{self.generation}", self._name(resource), tenant)
        return self.callers.setdefault(number, fresh)

    @rule(
        number=numbers,
        resource=names,
        tenant=tenants,
        may_wait=st.booleans(),
        tokens=st.tuples(tokens, tokens),
        usd=money,
    )
    def acquire(
        self,
        number: int,
        resource: int,
        tenant: str,
        may_wait: bool,
        tokens: tuple[int, int],
        usd: float,
    ) -> None:
        """One call, or a waiting one that comes again."""
        caller = self._caller(number, resource, tenant)
        self.pair.act(self.gate.acquire, caller, Amounts(1, *tokens, usd), may_wait=may_wait)

    @rule(resource=names, tenant=tenants, count=st.integers(2, 8))
    def acquire_many(self, resource: int, tenant: str, count: int) -> None:
        """A burst of small calls."""
        for _ in range(count):
            self.generation += 1
            number = len(self.callers) % 12
            self.callers.pop(number, None)
            caller = self._caller(number, resource, tenant)
            self.pair.act(self.gate.acquire, caller, Amounts(), may_wait=True)

    @rule(
        number=numbers,
        resource=names,
        tenant=tenants,
        outcome=outcomes,
        used=used,
        hint=hints,
        again=st.booleans(),
    )
    def settle(
        self,
        number: int,
        resource: int,
        tenant: str,
        outcome: Outcome,
        used: dict[str, float],
        hint: Hint,
        again: bool,
    ) -> None:
        """A call ends, perhaps one that nobody knows, perhaps twice."""
        caller = self._caller(number, resource, tenant)
        for _ in range(1 + again):
            self.pair.act(self.gate.settle_call, caller, outcome, used, hint)
        del self.callers[number]
        self.generation += 1

    @rule(
        resource=names,
        tenant=tenants,
        outcome=outcomes,
        count=st.integers(1, 6),
        took=st.sampled_from([0, 5, 900, 4_000]),
    )
    def call_at_once(
        self, resource: int, tenant: str, outcome: Outcome, count: int, took: int
    ) -> None:
        """Calls that are made and end at once, all in the same way."""
        for _ in range(count):
            self.generation += 1
            caller = Caller(f"x-{self.generation}", self._name(resource), tenant)
            verdict = self.pair.act(self.gate.acquire, caller, Amounts(), may_wait=False)
            if verdict.decision == "taken":
                self.pair.set_clock(self.pair.model.now + took)
                self.pair.act(self.gate.settle_call, caller, outcome, {}, None)

    @rule(number=numbers, resource=names, tenant=tenants)
    def give_up(self, number: int, resource: int, tenant: str) -> None:
        """A caller does not want to any more."""
        self.pair.act(self.gate.give_up, self._caller(number, resource, tenant))
        del self.callers[number]
        self.generation += 1

    @rule(chosen=st.sets(numbers, min_size=1), resource=names, tenant=tenants)
    def renew(self, chosen: set[int], resource: int, tenant: str) -> None:
        """Callers are alive."""
        callers = [self._caller(number, resource, tenant) for number in sorted(chosen)]
        self.pair.act(self.gate.renew_calls, callers)

    @rule(resource=names, tenant=tenants, hint=hints)
    def observe(self, resource: int, tenant: str, hint: Hint) -> None:
        """A provider says something."""
        self.pair.act(self.gate.observe, self._name(resource), tenant, hint)

    @rule(
        resource=names,
        tenant=tenants,
        mode=st.sampled_from(["open", "closed", "auto"]),
        stays=st.integers(0, 9),
    )
    def force(self, resource: int, tenant: str, mode: str, stays: int) -> None:
        """An operator decides, and mostly thinks better of it."""
        name = self._name(resource)
        whose = tenant if name == "each" and tenant != "a" else None
        self.pair.act(self.gate.force_breaker, name, whose, mode)
        if stays:
            self.call_at_once(resource, tenant, Outcome.TRANSIENT, 3, 5)
            self.pair.act(self.gate.force_breaker, name, whose, "auto")

    @rule(off=st.sampled_from([-1, 0, 0, 0, 1, 300]))
    def wait_for_probes(self, off: int) -> None:
        """Until an open breaker is half open, or nearly."""
        times = [
            scope.breaker.retry_at
            for scope in self.pair.model.scopes.values()
            if scope.breaker.state == "open" and scope.breaker.retry_at > self.pair.model.now
        ]
        if times:
            self.pair.set_clock(min(times) + off)

    @rule(step=st.sampled_from([0, 900, 2_100, 4_200]), order=st.randoms(use_true_random=False))
    def come_again(self, step: int, order: Random) -> None:
        """All who wait come again, some time later."""
        self.pair.set_clock(self.pair.model.now + step)
        callers = [caller for caller in self.callers.values() if self._waits(caller)]
        order.shuffle(callers)
        for caller in callers:
            self.pair.act(self.gate.acquire, caller, Amounts(), may_wait=True)

    def _waits(self, caller: Caller) -> bool:
        return any(caller.id in scope.tickets for scope in self.pair.model.scopes.values())

    @rule(step=st.sampled_from([1, 100, 1_000, 1_000, 5_000, 5_500, 11_000, 60_001, -1, -40_000]))
    def pass_time(self, step: int) -> None:
        """The clock goes on, or jumps back."""
        self.pair.set_clock(self.pair.model.now + step)

    @rule(factor=st.sampled_from([0.5, 1, 2]), few=st.integers(1, 3))
    def redeclare(self, factor: float, few: int) -> None:
        """Limits change."""
        llm = replace(RESOURCES[1], requests_per_minute=round(30 * factor))
        self.pair.declare([llm, replace(FEW, concurrency=few)])


def check(gate: TracedGate, settings: hypothesis_settings) -> None:
    """Let the machine run on this gate."""

    class Machine(CallMachine):
        pass

    Machine.gate = gate
    run_state_machine_as_test(Machine, settings=settings)
