"""What budgets in the gate must be: the specification that their Lua is held against.

It keeps facts only (who was spawned below whom, which calls were made and what they used) and
adds everything up anew whenever it is asked, as PostgreSQL would. Nothing is moved about.
Amounts are in the gate's units, times in milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

QUANTITIES = ("tokens", "usd", "spawns")
PERCENTS = (50, 80, 100)


@dataclass
class Account:
    """A budget that holds."""

    name: str
    #: id of its instance; empty for a session
    owner: str
    above: str
    base: int
    policy: str
    limits: dict[str, int]
    live_limit: int | None = None
    depth: int | None = None
    deadline: int | None = None
    version: int = 1
    #: where each of its quantities was taken from
    sources: dict[str, str] = field(default_factory=dict)
    told: dict[str, int] = field(default_factory=dict)
    ended: str | None = None
    #: its owner has left the gate
    gone: bool = False
    live: set[str] = field(default_factory=set)


@dataclass
class Member:
    """An instance: the names of the accounts it stands under, nearest first."""

    id: str
    path: tuple[str, ...]
    #: those that are charged for its spawn: without its own
    paid: tuple[str, ...]
    depth: int
    is_known: bool = True
    #: its spawn counts: it was or may yet be recorded
    counts: bool = True


@dataclass
class Call:
    """A call by a member."""

    path: tuple[str, ...]
    estimate: dict[str, int]
    #: the accounts that hold the estimate
    at: dict[str, str]
    until: int
    used: dict[str, int] | None = None
    is_held: bool = True


@dataclass(frozen=True)
class Refused:
    """Which account says no, and why."""

    account: str
    quantity: str
    limit: int
    current: int
    asked: int


@dataclass
class BudgetModel:
    """All facts, and what follows from them."""

    now: int
    accounts: dict[str, Account] = field(default_factory=dict)
    members: dict[str, Member] = field(default_factory=dict)
    calls: dict[str, Call] = field(default_factory=dict)
    #: account, version, quantity, percent
    alerts: set[tuple[str, int, str, int]] = field(default_factory=set)
    due: dict[str, int] = field(default_factory=dict)

    # --- sums -----------------------------------------------------------------------------

    def bounding(self, path: Iterable[str], quantity: str) -> Account | None:
        """The nearest account that bounds a quantity."""
        found = (one for one in self.chain(path) if quantity in one.limits)
        return next(found, None)

    def chain(self, path: Iterable[str]) -> Iterator[Account]:
        """The accounts there are of these names."""
        return (self.accounts[name] for name in path if name in self.accounts)

    def used(self, account: Account, quantity: str) -> int:
        """Settled, also by what has ended below."""
        if quantity == "spawns":
            spawns = (one for one in self.members.values() if one.counts)
            return sum(self.bounding(one.paid, quantity) is account for one in spawns)
        settled = (one for one in self.calls.values() if one.used is not None)
        return sum(
            (one.used or {})[quantity]
            for one in settled
            if self.bounding(one.path, quantity) is account
        )

    def held(self, account: Account, quantity: str) -> int:
        """Estimated by calls under way."""
        return sum(
            one.estimate[quantity]
            for one in self.calls.values()
            if one.is_held and one.at.get(quantity) == account.name
        )

    def lent(self, account: Account, quantity: str) -> int:
        """Given to budgets below: their limit, or more where they are in debt."""
        return sum(
            max(one.limits[quantity], self.taken(one, quantity))
            for one in self.accounts.values()
            if quantity in one.limits and one.sources.get(quantity) == account.name
        )

    def taken(self, account: Account, quantity: str) -> int:
        """All that cannot be taken any more."""
        parts = (self.used, self.held, self.lent)
        return sum(part(account, quantity) for part in parts)

    # --- a spawn --------------------------------------------------------------------------

    def refusal(
        self, above: tuple[str, ...], depth: int, limits: Mapping[str, int]
    ) -> Refused | None:
        """What does not let an instance with such a budget be spawned there."""
        chain = list(self.chain(above))
        needs = {one: limits.get(one, 0) + (one == "spawns") for one in QUANTITIES}
        found = self._over(chain) or self._crowded(chain, depth)
        return self._doomed(found or self._short(above, needs))

    def enter(self, member: Member, own: Account | None) -> None:
        """It is live from now on; `own` is its budget."""
        if own is None and not any(self.chain(member.path)):
            self.members[member.id] = member
            return
        if own is not None:
            for quantity in own.limits:
                source = self.bounding(member.paid, quantity)
                own.sources[quantity] = source.name if source else ""
            self.accounts[own.name] = own
            if own.deadline is not None:
                self.due[own.name] = own.deadline
        self.members[member.id] = member
        for one in self.chain(member.path):
            one.live.add(member.id)
            if one.policy == "warn":
                self._warn(one, member.depth - one.base)
        self.judge()

    def _warn(self, one: Account, below: int) -> None:
        if one.depth is not None and below > one.depth:
            self.tell(one, "depth", 100)
        if one.live_limit is not None and len(one.live) > one.live_limit:
            self.tell(one, "live", 100)

    def leave(self, one: str, *, recorded: bool = True) -> None:
        """The gate forgets it; if it was not recorded, it was no spawn."""
        member = self.members[one]
        member.is_known = False
        member.counts = recorded
        for account in self.chain(member.path):
            account.live.discard(one)
            account.gone = account.gone or account.owner == one
        self.judge()

    # --- a call ---------------------------------------------------------------------------

    def acquire(
        self, call: str, by: str, estimate: dict[str, int], lease_ms: int
    ) -> Refused | None:
        """Hold an estimate, or say what does not let it."""
        path = self.members[by].path
        refused = self._doomed(self._over(list(self.chain(path))) or self._short(path, estimate))
        if refused is None:
            holders = {one: self.bounding(path, one) for one in estimate}
            at = {one: account.name for one, account in holders.items() if account}
            made = Call(path, estimate, at, self.now + lease_ms, is_held=any(self.chain(path)))
            self.calls[call] = made
            self.judge()
        return refused

    def settle(self, call: str, used: dict[str, int]) -> None:
        """It used so much; a second time changes nothing."""
        found = self.calls[call]
        if found.used is None:
            found.used, found.is_held = used, False
            self.judge()

    def lose(self) -> None:
        """What is held for calls that nobody renews is free."""
        for one in self.calls.values():
            if one.is_held and one.until <= self.now:
                one.is_held = False
        self.judge()

    # --- what follows ---------------------------------------------------------------------

    def judge(self) -> None:
        """Alerts, failures, and accounts that are closed."""
        self._watch()
        while found := next(filter(self._is_over, self.accounts.values()), None):
            del self.accounts[found.name]
            self.due.pop(found.name, None)
        self._watch()

    def _watch(self) -> None:
        for one in self.accounts.values():
            for quantity, limit in one.limits.items():
                spent = self.used(one, quantity) + self.lent(one, quantity)
                for percent in PERCENTS:
                    if spent > 0 and spent >= limit * percent / 100:
                        self.tell(one, quantity, percent)
                if one.policy == "fail" and spent > limit:
                    self._doom(one, quantity)

    def tell(self, one: Account, quantity: str, percent: int) -> None:
        """Leave word, once each."""
        if one.told.get(quantity, 0) < percent:
            one.told[quantity] = percent
            self.alerts.add((one.name, one.version, quantity, percent))

    def _doom(self, one: Account, quantity: str) -> None:
        if one.ended is None:
            one.ended = quantity
            self.due[one.name] = min(self.now, self.due.get(one.name, self.now))

    def _is_over(self, one: Account) -> bool:
        subs = any(other.above == one.name for other in self.accounts.values())
        calls = any(call.is_held and one.name in call.path[:1] for call in self.calls.values())
        return one.gone and not one.live and not subs and not calls

    # --- why not --------------------------------------------------------------------------

    def _over(self, chain: list[Account]) -> Refused | None:
        for one in chain:
            if one.ended == "deadline":
                return Refused(one.name, "deadline", one.deadline or 0, self.now, 0)
            if one.ended:
                limit = one.limits.get(one.ended, 0)
                return Refused(one.name, one.ended, limit, self.taken(one, one.ended), 0)
            if one.deadline is not None and self.now >= one.deadline and one.policy != "warn":
                return Refused(one.name, "deadline", one.deadline, self.now, 0)
        return None

    def _crowded(self, chain: list[Account], depth: int) -> Refused | None:
        for one in chain:
            below = depth - one.base
            if one.policy == "warn":
                continue
            if one.depth is not None and below > one.depth:
                return Refused(one.name, "depth", one.depth, below, 1)
            if one.live_limit is not None and len(one.live) >= one.live_limit:
                return Refused(one.name, "live", one.live_limit, len(one.live), 1)
        return None

    def _short(self, path: tuple[str, ...], needs: Mapping[str, int]) -> Refused | None:
        for quantity in (one for one in QUANTITIES if needs.get(one)):
            one, asked = self.bounding(path, quantity), needs[quantity]
            while one is not None and asked > 0:
                limit, taken = one.limits[quantity], self.taken(one, quantity)
                if taken + asked <= limit:
                    break
                if one.policy != "warn":
                    return Refused(one.name, quantity, limit, taken, asked)
                # One that only warns takes from above what it lacks.
                asked = max(limit, taken + asked) - max(limit, taken)
                above = self.accounts.get(one.sources.get(quantity, ""))
                one = above if above and quantity in above.limits else None
        return None

    def _doomed(self, refused: Refused | None) -> Refused | None:
        if refused is not None and refused.quantity not in ("live", "depth"):
            one = self.accounts[refused.account]
            if one.policy == "fail":
                self._doom(one, refused.quantity)
        return refused
