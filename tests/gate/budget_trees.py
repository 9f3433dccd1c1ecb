"""Trees of instances below budgets, in a gate, in the model, and as PostgreSQL has them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, cast

from orchestrator.admission.accounts import (
    account_of_session,
    bounds_of,
    limits_of,
)
from orchestrator.admission.calls import Caller
from orchestrator.domain.budget import Budget, from_units
from orchestrator.domain.call import Amounts, Outcome
from orchestrator.domain.instance import NewInstance
from orchestrator.domain.limits import Limits
from orchestrator.domain.resource import Resource
from orchestrator.store.budgets import StoredAccount
from tests.gate.traced import LEASE, TracedGate
from tests.support.budget_model import Account, BudgetModel
from tests.support.clock import EPOCH

WIDE = Limits(max_depth=50, session_concurrency=900, tenant_concurrency=900)
HOMES = (("a", "x"), ("a", "y"), ("b", "x"))
LEASE_MS = round(LEASE * 1000)


class Trees:
    """What is there, and what it is called."""

    gate: TracedGate

    def _forget_all(self) -> None:
        self.model = BudgetModel(now=EPOCH)
        self.news: dict[str, NewInstance] = {}
        #: recorded; and ended, as PostgreSQL has it
        self.recorded: set[str] = set()
        self.ended: set[str] = set()
        self.versions: dict[tuple[str, str], tuple[int, Budget]] = {}
        self.callers: dict[str, str] = {}
        #: calls of which the gate holds nothing
        self.strangers: set[str] = set()
        self.count = 0

    def _open(self) -> None:
        self.gate.begin_rebuild("token", 1e6)
        self.gate.set_limits(WIDE)
        self.gate.declare([Resource("llm", requests_per_minute=None, breaker=None)])

    def _settle_down(self, home: tuple[str, str]) -> None:
        """A first budget counts what is recorded and no call under way."""
        for one, new in self.news.items():
            if (new.tenant, new.session) == home and one not in self.recorded and self._lives(one):
                self._record(one)
        for one in self.ended:
            # Who has ended and still runs is known below no budget, and so not below this one.
            member = self.model.members[one]
            if member.is_known and not any(self.model.chain(member.path)):
                member.path = ()

    def _end_calls_of(self, home: tuple[str, str]) -> None:
        """What calls under way have overdrawn is counted exactly only once they have ended."""
        for name, call in self.model.calls.items():
            if account_of_session(*home) in call.path[-1:] and call.used is None:
                self._end_call(name, call.estimate)

    def _live_of(self, home: tuple[str, str]) -> set[str]:
        return {
            one
            for one in self.recorded - self.ended
            if (self.news[one].tenant, self.news[one].session) == home and self._lives(one)
        }

    def _join(self, home: tuple[str, str]) -> None:
        """Budgets that drew from nothing draw from the session's now."""
        session = account_of_session(*home)
        for one in self.model.accounts.values():
            path = self.model.members[one.owner].paid if one.owner else ()
            for quantity in one.limits:
                if session in path and not one.sources[quantity]:
                    source = self.model.bounding(path, quantity)
                    one.sources[quantity] = source.name if source else ""

    def _end_call(self, call: str, used: dict[str, int]) -> None:
        if call in self.strangers and not self._lives(self.callers[call]):
            # The gate knows neither the call nor the caller: only the ledger has it.
            self.model.calls[call].used = {"tokens": 0, "usd": 0}
            return
        for _ in range(2):
            caller = self._caller(call, self.callers[call])
            amounts = amounts_of(used)
            told = {"input_tokens": amounts.input_tokens, "usd": amounts.usd}
            self.gate.settle_call(caller, Outcome.SUCCESS, told)
        self.model.settle(call, used)

    def _forget_what_is_not_recorded(self, was_told: bool) -> None:
        for one, member in self.model.members.items():
            member.counts = member.counts and one in self.recorded
            member.is_known = member.is_known and one in self.recorded and one not in self.ended
        for name, account in list(self.model.accounts.items()):
            if account.owner and not self.model.members[account.owner].is_known:
                del self.model.accounts[name]
        self.model.due = {}
        self.model.alerts = set()
        for account in self.model.accounts.values():
            account.live = {one for one in account.live if self.model.members[one].is_known}
            account.ended = None
            account.told = account.told if was_told else {}
            if account.deadline is not None:
                self.model.due[account.name] = account.deadline
        for name in self._open_calls():
            self.model.calls[name].is_held = False
            self.strangers.add(name)

    def _stored(self, home: tuple[str, str], told: dict[str, Any]) -> list[StoredAccount]:
        """What the query of PostgreSQL answers; held against it in `tests/engine`."""
        session = account_of_session(*home)
        found = []
        for one in self.model.accounts.values():
            if one.owner:
                new = self.news[one.owner]
                if (new.tenant, new.session) != home:
                    continue
                above = [other.name for other in self.model.chain(self.model.members[new.id].paid)]
                budget, owner = cast(Budget, new.budget), one.owner
            elif one.name == session:
                above, owner = [], ""
                budget = self.versions[home][1]
            else:
                continue
            found.append(
                StoredAccount(
                    account=one.name,
                    session=home[1],
                    tenant=home[0],
                    owner=owner or None,
                    base=one.base,
                    budget=budget,
                    version=one.version,
                    exhausted=None,
                    above=tuple(above),
                    session_account=session,
                    used={name: self.model.used(one, name) for name in one.limits},
                    told=told.get(one.name, {}),
                    live=tuple(self._marked(one)),
                )
            )
        return sorted(found, key=lambda one: (len(one.above), one.account))

    def _marked(self, one: Account) -> Iterator[str]:
        for member in sorted(one.live):
            nearest = next(self.model.chain(self.model.members[member].path))
            yield ("=" if nearest is one else "-") + member

    def _account(self, name: str, owner: str, above: str, base: int, budget: Budget) -> Account:
        bounds = bounds_of(budget)
        return Account(
            name,
            owner,
            above,
            base,
            bounds["policy"],
            limits_of(budget),
            bounds.get("live"),
            bounds.get("depth"),
            bounds.get("deadline"),
        )

    def _budget(self, given: dict[str, Any]) -> Budget | None:
        if all(value is None for name, value in given.items() if name != "on_exhausted"):
            return None
        now = self.model.now
        return Budget(**given).fixed(datetime.fromtimestamp(now / 1000, UTC))

    def _caller(self, call: str, one: str) -> Caller:
        return Caller(call, "llm", self.news[one].tenant, one)

    def _open_calls(self) -> list[str]:
        return [name for name, call in self.model.calls.items() if call.used is None]

    def _lives(self, one: str) -> bool:
        return self.model.members[one].is_known

    def _running(self) -> list[str]:
        known = [one for one in self.news if self._lives(one)]
        return [one for one in known if self.gate.glance(one).place == "dispatched"]

    def _pending(self) -> list[str]:
        return [one for one in self.news if self._lives(one) and one not in self.recorded]

    def _record(self, one: str) -> None:
        self.recorded.add(one)
        self.gate.follow(self.news[one])
        self.gate.follow(self.news[one])

    def _end_rows(self, one: str) -> list[str]:
        self.ended.add(one)
        below = [
            other
            for other, new in self.news.items()
            if new.parent and new.parent.id == one and other not in self.ended
        ]
        live = [other for other in below if self._lives(other)]
        self.recorded |= {*live}
        return [*live, *(found for other in live for found in self._end_rows(other))]


def amounts_of(units: dict[str, int]) -> Amounts:
    """What a call takes, from the gate's units."""
    return Amounts(input_tokens=units["tokens"], usd=from_units("usd", units["usd"]))
