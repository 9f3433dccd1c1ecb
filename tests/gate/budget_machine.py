"""Random spawns and calls below budgets, made to a gate and to the model, compared after each."""

from __future__ import annotations

from typing import Any

from hypothesis import note
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from orchestrator.admission.accounts import (
    account_of_instance,
    account_of_session,
    limits_of,
    owner_of,
)
from orchestrator.domain.budget import Budget, from_units, in_units
from orchestrator.domain.instance import NewInstance
from orchestrator.domain.lifecycle import State
from orchestrator.engine.budgets import to_loads
from tests.gate.budget_state import compare
from tests.gate.budget_trees import HOMES, LEASE_MS, Trees, amounts_of
from tests.gate.rows import parent_of, row_of
from tests.gate.traced import TracedGate
from tests.support.budget_model import Member, Refused
from tests.support.clock import EPOCH
from tests.support.make import spawn_of

amounts = st.sampled_from([None, None, 0, 3, 10, 40])
budgets: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "tokens": amounts,
        "usd": st.sampled_from([None, None, 0.5, 2.0]),
        "live": st.sampled_from([None, None, 1, 3, 6]),
        "spawns": st.sampled_from([None, None, 0, 1, 3, 8]),
        "depth": st.sampled_from([None, None, 0, 1, 2]),
        "deadline": st.sampled_from([None, None, 1.0, 30.0]),
        "on_exhausted": st.sampled_from(["refuse", "fail", "warn", "warn"]),
    }
)
tokens = st.sampled_from([0, 1, 2, 5, 20])
money = st.sampled_from([0.0, 0.1, 0.25, 1.0])

#: What may happen, and how often.
ACTIONS = {
    "set_budget": 3,
    "spawn": 6,
    "spawn_below": 8,
    "follow": 3,
    "withdraw": 2,
    "end": 3,
    "cancel": 2,
    "hand_back": 1,
    "acquire": 6,
    "settle": 5,
    "give_up": 1,
    "renew": 1,
    "pass_time": 2,
    "sweep": 2,
    "look_after": 2,
    "rebuild": 1,
}
actions = st.sampled_from([name for name, weight in ACTIONS.items() for _ in range(weight)])


class BudgetMachine(Trees, RuleBasedStateMachine):
    """What may happen to trees with budgets."""

    @initialize()
    def begin(self) -> None:
        """An open gate with much room."""
        self.gate.redis.flushall()
        self.gate.clock.set(EPOCH)
        self._open()
        self.gate.finish_rebuild("token")
        self.gate.heartbeat("w", "default", 900, [])
        self._forget_all()

    @rule(action=actions, data=st.data())
    def happens(self, action: str, data: st.DataObject) -> None:
        """One thing happens."""
        self._draw = data.draw
        note(action)
        getattr(self, f"_{action}")()
        compare(self.gate, self.model)

    # --- budgets --------------------------------------------------------------------------

    def _set_budget(self) -> None:
        """A session is given a budget, or another one."""
        home = self._draw(st.sampled_from(HOMES))
        budget = self._budget(self._draw(budgets))
        if budget is None:
            return
        account = account_of_session(*home)
        if account not in self.model.accounts:
            self._settle_down(home)
        self._end_calls_of(home)
        version = self.versions.get(home, (0, budget))[0] + 1
        self.versions[home] = version, budget
        one = self._account(account, "", "", 0, budget)
        one.version = version
        before = self.model.accounts.get(account)
        one.live = before.live if before else self._live_of(home)
        self.model.accounts[account] = one
        self.model.due.pop(account, None)
        if one.deadline is not None:
            self.model.due[account] = one.deadline
        self._join(home)
        for load in to_loads(self._stored(home, {})):
            self.gate.load_budget(load)
        self.model.judge()

    # --- spawns ---------------------------------------------------------------------------

    def _spawn(self) -> None:
        """A root."""
        tenant, session = self._draw(st.sampled_from(HOMES))
        self._check_in(
            spawn_of(id=self._id(), tenant=tenant, session=session, budget=self._own()),
            (account_of_session(tenant, session),),
        )

    def _spawn_below(self) -> None:
        """A child of one that runs."""
        parents = [one for one in self._running() if one not in self.ended]
        if parents:
            parent = self.news[self._draw(st.sampled_from(parents))]
            attempt = self.gate.glance(parent.id).attempt
            new = spawn_of(parent_of(parent, attempt), id=self._id(), budget=self._own())
            self._check_in(new, self.model.members[parent.id].path)

    def _check_in(self, new: NewInstance, above: tuple[str, ...]) -> None:
        budget = new.budget
        limits = limits_of(budget) if budget else {}
        refused = self.model.refusal(above, new.depth, limits)
        verdict = self.gate.check_in(new, "queue")
        found = (verdict.budget, verdict.scope, verdict.limit, verdict.current, verdict.asked)
        assert (found if verdict.refusal else None) == _said(refused)
        if refused is None:
            own = None
            if budget is not None:
                name = account_of_instance(new.id)
                own = self._account(name, new.id, above[0], new.depth, budget)
                # The nearest that there is; a session may be given one later.
                own.above = next((one.name for one in self.model.chain(above)), above[-1])
            path = (own.name, *above) if own else above
            self.news[new.id] = new
            self.model.enter(Member(new.id, path, above, new.depth), own)
            # The reply was lost.
            assert self.gate.check_in(new, "queue").refusal is None
            if self._draw(st.booleans()):
                self._record(new.id)

    def _follow(self) -> None:
        """A spawn is recorded and starts."""
        if one := self._pick(self._pending()):
            self._record(one)

    def _withdraw(self) -> None:
        """A spawn is not recorded."""
        if one := self._pick(self._pending()):
            place = self.gate.glance(one).place
            self.gate.withdraw([one])
            self.gate.withdraw([one])
            if place in ("admitted", "reserved"):
                self.model.leave(one, recorded=False)

    # --- ends -----------------------------------------------------------------------------

    def _end(self) -> None:
        """An attempt ends, and with it in PostgreSQL all below it."""
        if one := self._pick(self._running()):
            below = self._end_rows(one)
            if self._draw(st.booleans()):
                self._tell_of(below)
            self.gate.release(one, self.gate.glance(one).attempt)
            self.model.leave(one)

    def _cancel(self) -> None:
        """A tree is cancelled."""
        if one := self._pick([one for one in self.news if self._lives(one)]):
            self.recorded.add(one)
            self._tell_of([one, *self._end_rows(one)])

    def _tell_of(self, ids: list[str]) -> None:
        stays = {one for one in ids if self.gate.glance(one).place in ("dispatched", "")}
        self.gate.cancel(ids)
        for one in ids:
            if one not in stays:
                self.model.leave(one)

    def _hand_back(self) -> None:
        """An attempt fails and is tried again."""
        if (one := self._pick(self._running())) and one not in self.ended:
            attempt = self.gate.glance(one).attempt
            self.gate.requeue(row_of(self.news[one], State.QUEUED, attempt), attempt)

    # --- calls ----------------------------------------------------------------------------

    def _acquire(self) -> None:
        """An instance makes a call."""
        if one := self._pick(self._running()):
            estimate = self._estimate()
            call = f"c{len(self.model.calls)}"
            refused = self.model.acquire(call, one, estimate, LEASE_MS)
            verdict = self.gate.acquire(
                self._caller(call, one), amounts_of(estimate), may_wait=True
            )
            said = f"{refused.quantity} of {owner_of(refused.account)}" if refused else ""
            found = verdict.decision, verdict.scope
            assert found == ("refused" if refused else "taken", said), (found, refused)
            if not refused:
                self.callers[call] = one
                if not self.model.calls[call].is_held:
                    self.strangers.add(call)

    def _settle(self) -> None:
        """A call ends, twice."""
        if call := self._pick(self._open_calls()):
            self._end_call(call, self._estimate())

    def _give_up(self) -> None:
        """A call is not made."""
        if call := self._pick([one for one in self._open_calls() if one not in self.strangers]):
            self.gate.give_up(self._caller(call, self.callers[call]))
            self.model.settle(call, {"tokens": 0, "usd": 0})

    def _renew(self) -> None:
        """Callers are alive."""
        calls = self._open_calls()
        self.gate.renew_calls([self._caller(one, self.callers[one]) for one in calls])
        for one in calls:
            self.model.calls[one].until = self.model.now + LEASE_MS

    # --- time and housekeeping ------------------------------------------------------------

    def _pass_time(self) -> None:
        """A while."""
        due = [at - self.model.now for at in self.model.due.values() if at > self.model.now]
        steps = [*due[:2], *due[:2], 1, 999, 1000, 6_000, LEASE_MS, 31_000]
        step = self._draw(st.sampled_from(steps))
        self.model.now += step
        self.gate.clock.set(self.model.now)
        self._offer()

    def _offer(self) -> None:
        pairs = [(one, self.gate.glance(one).attempt) for one in self._running()]
        self.gate.heartbeat("w", "default", 900, pairs)

    def _sweep(self) -> None:
        """What has run out is judged."""
        for one, attempt, _why in self.gate.sweep(100, 30.0).expired:
            recorded = one in self.recorded
            if not recorded or one in self.ended:
                self.gate.forget(one, attempt, recorded=recorded)
                self.model.leave(one, recorded=recorded)
            else:
                self.gate.requeue(row_of(self.news[one], State.QUEUED, attempt), attempt)

    def _look_after(self) -> None:
        """What is due is ended; now and then whoever does it dies over it."""
        self.model.lose()
        wanted = sorted(name for name, at in self.model.due.items() if at <= self.model.now)
        _more, found = self.gate.due_budgets(100, 30.0)
        strict = []
        for name in wanted:
            one = self.model.accounts[name]
            if one.policy == "warn":
                del self.model.due[name]
                self.model.tell(one, "deadline", 100)
            else:
                strict.append(name)
                self.model.due[name] = self.model.now + 30_000
        assert sorted(due.account for due in found) == strict
        for due in found:
            if self._draw(st.booleans()):
                self.gate.end_budget(due)
                del self.model.due[due.account]

    def _rebuild(self) -> None:
        """Redis is emptied and filled from what PostgreSQL has."""
        was_told = self._draw(st.booleans())
        told = {one.name: dict(one.told) for one in self.model.accounts.values()}
        self._forget_what_is_not_recorded(was_told)
        self.gate.redis.flushall()
        self.gate.clock.set(self.model.now)
        self._open()
        for home in HOMES:
            for load in to_loads(self._stored(home, told if was_told else {})):
                self.gate.load_budget(load)
        live = [one for one in self.news if one in self.recorded and self._lives(one)]
        self.gate.adopt([row_of(self.news[one], State.RUNNING, 1, "w") for one in live])
        self.gate.finish_rebuild("token")
        self._offer()
        self.model.judge()

    # --- helpers --------------------------------------------------------------------------

    def _own(self) -> Budget | None:
        return self._budget(self._draw(budgets)) if self._draw(st.booleans()) else None

    def _estimate(self) -> dict[str, int]:
        return {"tokens": self._draw(tokens), "usd": in_units("usd", self._draw(money))}

    def _pick(self, names: list[str]) -> str | None:
        return self._draw(st.sampled_from(names)) if names else None

    def _id(self) -> str:
        self.count += 1
        return f"i{self.count}"


def _said(refused: Refused | None) -> tuple[str, str, float, float, float] | None:
    if refused is None:
        return None
    numbers = (refused.limit, refused.current, refused.asked)
    limit, current, asked = (from_units(refused.quantity, one) for one in numbers)
    return owner_of(refused.account), refused.quantity, limit, current, asked


def check(gate: TracedGate, settings: hypothesis_settings) -> None:
    """Let the machine run on this gate."""

    class Machine(BudgetMachine):
        pass

    Machine.gate = gate
    run_state_machine_as_test(Machine, settings=settings)
