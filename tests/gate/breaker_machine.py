"""Breakers in all their states: calls that fail, succeed or take long, and time that passes."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from orchestrator.admission.calls import Caller
from orchestrator.domain.call import Amounts, Outcome
from orchestrator.domain.resource import Resource
from tests.gate.call_machine import QUICK, Pair, open_pair
from tests.gate.traced import TracedGate

SUCCESS, FAILURE = Outcome.SUCCESS, Outcome.TRANSIENT
outcomes = st.sampled_from([SUCCESS, SUCCESS, FAILURE, FAILURE, FAILURE, Outcome.CALLER])
#: The conditions together, and each by itself.
POLICIES = (
    QUICK,
    replace(QUICK, failure_rate=None, slow_rate=None),
    replace(QUICK, failures=None, slow_rate=None),
    replace(QUICK, failures=None, failure_rate=None),
)


class BreakerMachine(RuleBasedStateMachine):
    """What may happen to a breaker."""

    gate: TracedGate

    @initialize(policy=st.sampled_from(POLICIES))
    def begin(self, policy: object) -> None:
        """A new gate with one frail resource."""
        resource = Resource("frail", requests_per_minute=None, breaker=policy)  # type: ignore[arg-type]  # as drawn
        self.pair: Pair = open_pair(self.gate, [resource], lost=False)
        self.under_way: list[Caller] = []
        self.count = 0

    def _begin_one(self) -> Caller | None:
        self.count += 1
        caller = Caller(f"c-{self.count}", "frail", "tenant")
        verdict = self.pair.act(self.gate.acquire, caller, Amounts(), may_wait=False)
        return caller if verdict.decision == "taken" else None

    def _end_one(self, caller: Caller, outcome: Outcome) -> None:
        self.pair.act(self.gate.settle_call, caller, outcome, {}, None)

    @rule(
        ends=st.lists(outcomes, min_size=1, max_size=7),
        took=st.sampled_from([0, 10, 10, 3_999, 4_000]),
    )
    def call(self, ends: list[Outcome], took: int) -> None:
        """Calls, one after another."""
        for outcome in ends:
            if caller := self._begin_one():
                self.pair.set_clock(self.pair.model.now + took)
                self._end_one(caller, outcome)

    @rule(outcome=outcomes, count=st.integers(3, 7))
    def call_alike(self, outcome: Outcome, count: int) -> None:
        """Calls that all end in the same way."""
        for _ in range(count):
            if caller := self._begin_one():
                self._end_one(caller, outcome)

    @rule(count=st.integers(1, 7))
    def begin_some(self, count: int) -> None:
        """Calls that go on for a while."""
        self.under_way += [caller for _ in range(count) if (caller := self._begin_one())]

    @rule(outcome=outcomes, count=st.integers(1, 3))
    def end_some(self, outcome: Outcome, count: int) -> None:
        """They end, perhaps in another state of the breaker than they began in."""
        for caller in self.under_way[:count]:
            self._end_one(caller, outcome)
        self.under_way = self.under_way[count:]

    @rule(off=st.sampled_from([-1, 0, 0, 0, 0, 1, 300]))
    def wait_for_probes(self, off: int) -> None:
        """Until an open breaker is half open, or nearly, and somebody tries."""
        breaker = self.pair.model.scopes["frail"].breaker if self.pair.model.scopes else None
        if breaker and breaker.state == "open" and breaker.retry_at > self.pair.model.now:
            self.pair.set_clock(breaker.retry_at + off)
            if caller := self._begin_one():
                self.under_way.append(caller)

    @rule(step=st.sampled_from([100, 800, 800, 2_000, 3_000, 6_000, 10_000, 21_000, -40_000]))
    def pass_time(self, step: int) -> None:
        """The clock goes on, or jumps back."""
        self.pair.set_clock(self.pair.model.now + step)

    @rule(mode=st.sampled_from(["open", "closed", "auto"]), rare=st.integers(0, 4))
    def force(self, mode: str, rare: int) -> None:
        """An operator decides for a moment."""
        if rare == 0:
            self.pair.act(self.gate.force_breaker, "frail", None, mode)
            self.call([FAILURE, FAILURE, FAILURE, FAILURE], 10)
            self.pair.act(self.gate.force_breaker, "frail", None, "auto")


def check(gate: TracedGate, settings: hypothesis_settings) -> None:
    """Let the machine run on this gate."""

    class Machine(BreakerMachine):
        pass

    Machine.gate = gate
    run_state_machine_as_test(Machine, settings=settings)
