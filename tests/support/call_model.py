"""What the gate must do with calls of resources: the specification that the Lua is held against.

One method a script, with the script's own argument names; it answers what the script must
answer. Nothing here knows Redis. Times are milliseconds.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from orchestrator.domain.resource import BreakerPolicy, Bucket, Resource

DIMENSIONS = ("requests", "input_tokens", "output_tokens", "usd")
SLICES = 10
HOUR_MS = 3_600_000


@dataclass
class Ticket:
    """A waiting caller."""

    tenant: str
    start: int
    charge: int
    order: int
    until: int


@dataclass
class OpenCall:
    """A call under way, or one that has ended not long ago."""

    #: None: the gate does not know what it took
    taken: dict[str, float] | None
    generation: int | None
    started: int | None
    ended: int | None = None


@dataclass
class BreakerState:
    """One breaker."""

    state: str = "closed"
    generation: int = 0
    failures: int = 0
    trips: int = 0
    retry_at: int = 0
    ramp_at: int = 0
    probed: int = 0
    #: slice of the window -> calls, failed, slow
    slices: dict[int, tuple[int, int, int]] = field(default_factory=dict)


@dataclass
class Scope:
    """What shares buckets and a breaker."""

    resource: Resource
    #: when its buckets were last looked at, and what was in them then
    at: int
    levels: dict[str, float] = field(default_factory=dict)
    is_kept: bool = False
    blocked: int = 0
    mean: float = 0.0
    breaker: BreakerState = field(default_factory=BreakerState)
    #: id -> when the lease ends; of all calls under way, and of the probes among them
    leases: dict[str, int] = field(default_factory=dict)
    probes: dict[str, int] = field(default_factory=dict)
    tickets: dict[str, Ticket] = field(default_factory=dict)
    virtual: int = 0
    ends: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    arrivals: int = 0

    def bucket(self, name: str) -> Bucket | None:
        """The bucket of this name, if there is a limit."""
        return self.resource.buckets().get(name)


Reply = list[str]


@dataclass
class CallModel:
    """All resources and calls."""

    now: int
    lease_ms: int
    lost_at: int | None = None
    resources: dict[str, Resource] = field(default_factory=dict)
    scopes: dict[str, Scope] = field(default_factory=dict)
    forced: dict[str, str] = field(default_factory=dict)
    calls: dict[str, OpenCall] = field(default_factory=dict)
    #: ids of callers that were told that their turn may have come
    woken: list[str] = field(default_factory=list)

    # --- the scripts ----------------------------------------------------------------------

    def acquire(
        self,
        *,
        id: str,  # noqa: A002  # the script's name for it
        resource: str,
        tenant: str,
        instance: str,
        may_wait: int,
        **amounts: float,
    ) -> Reply:
        """Decide about one call."""
        scope = self._scope(resource, tenant)
        self._end(scope, 4)
        if id in self.calls:
            return ["taken", "", "", "", "0"]
        if (refused := self._refusal(scope, amounts)) is not None:
            return self._refuse(scope, id, *refused)
        breaker, levels = self._look(scope), self._levels(scope)
        code, wait, short, limit = self._obstacle(scope, breaker, levels, amounts)
        charge = _charge(scope, amounts)
        if not may_wait and (wait or scope.tickets):
            if not wait:
                code, short, wait = "RESOURCE_BUSY", "turn", len(scope.tickets) * charge
            return self._refuse(scope, id, code, short, wait)
        if wait or scope.tickets:
            ahead = self._stand_in_line(scope, id, tenant, charge)
            wait_in_all = wait + ahead * max(charge, scope.mean / limit if limit else 0)
            if wait_in_all:
                code, short = (code, short) if wait else ("RESOURCE_BUSY", "turn")
                return ["wait", code, short, f"{math.ceil(wait_in_all)}", f"{ahead}"]
        self._take(scope, id, breaker, levels, amounts)
        return ["taken", "", "", "", "0"]

    def settle_call(
        self,
        *,
        id: str,  # noqa: A002  # as above
        resource: str,
        tenant: str,
        outcome: str,
        block_ms: int,
        requests_left: float | str,
        input_tokens_left: float | str,
        output_tokens_left: float | str,
        **used: float | str,
    ) -> Reply:
        """A call has ended."""
        scope = self._scope(resource, tenant)
        call = self.calls.get(id)
        if call and call.ended is not None:
            return [f"{call.started}", f"{call.ended}"]
        scope.leases.pop(id, None)
        scope.probes.pop(id, None)
        self._return_turn(scope, id)
        self._end(scope, 4)
        levels = self._levels(scope)
        taken = (call and call.taken) or {}
        for name, bucket in _buckets(scope):
            if name in taken:
                real = taken[name] if used[name] == "" else float(used[name])
                levels[name] = min(bucket.capacity, levels[name] + taken[name] - real)
        took = 0
        if call and call.started is not None:
            took = max(0, self.now - call.started)
            scope.mean = scope.mean + (took - scope.mean) / 10 if scope.mean > 0 else took
        left = dict(
            zip(DIMENSIONS, (requests_left, input_tokens_left, output_tokens_left), strict=False)
        )
        self._hear(scope, levels, block_ms, left)
        if call and call.generation is not None:
            self._judge(scope, call.generation, outcome, took)
        call = call or OpenCall(None, None, None)
        call.started = self.now if call.started is None else call.started
        call.ended = self.now
        self.calls[id] = call
        self._wake(scope)
        return [f"{call.started}", f"{call.ended}"]

    def give_up(self, *, id: str, resource: str, tenant: str) -> str:  # noqa: A002  # as above
        """A call will not be made."""
        scope = self._scope(resource, tenant)
        scope.leases.pop(id, None)
        scope.probes.pop(id, None)
        self._return_turn(scope, id)
        call = self.calls.get(id)
        if call and call.ended is None:
            levels = self._levels(scope)
            for name, bucket in _buckets(scope):
                if name != "requests":
                    levels[name] = min(
                        bucket.capacity, levels[name] + (call.taken or {}).get(name, 0)
                    )
            self._keep(scope, levels)
            call.started = self.now if call.started is None else call.started
            call.ended = self.now
        self._wake(scope)
        return ""

    def renew_calls(self, *, calls: Sequence[str]) -> str:
        """These are still under way."""
        for one, resource, tenant in zip(calls[::3], calls[1::3], calls[2::3], strict=True):
            scope = self._scope(resource, tenant)
            call = self.calls.get(one)
            if one in scope.tickets or (call and call.ended is not None):
                continue
            scope.leases[one] = self.now + self.lease_ms
            if one in scope.probes:
                scope.probes[one] = scope.leases[one]
            if call is None:
                self.calls[one] = OpenCall(None, None, None)
        return ""

    def observe(self, *, resource: str, tenant: str, block_ms: int, **left: float | str) -> str:
        """What a provider says of its limits."""
        scope = self._scope(resource, tenant)
        told = {name.removesuffix("_left"): value for name, value in left.items()}
        self._hear(scope, self._levels(scope), block_ms, told)
        return ""

    def force_breaker(self, *, resource: str, tenant: str, mode: str) -> str:
        """An operator decides."""
        name = f"{resource} {tenant}" if tenant else resource
        scope = self._scope_named(name, resource)
        breaker = self._look(scope)
        if mode == "auto":
            self.forced.pop(name, None)
            breaker.trips, breaker.ramp_at = 0, self.now
        else:
            self.forced[name] = mode
        self._turn(scope, breaker, "closed")
        self._wake(scope)
        return ""

    # --- the pieces -----------------------------------------------------------------------

    def _scope(self, resource: str, tenant: str) -> Scope:
        declared = self.resources.get(resource) or self.resources["*"]
        name = f"{resource} {tenant}" if declared.per_tenant else resource
        return self._scope_named(name, resource)

    def _scope_named(self, name: str, resource: str) -> Scope:
        declared = self.resources.get(resource) or self.resources["*"]
        if name not in self.scopes:
            breaker = BreakerState(ramp_at=self.lost_at or 0)
            self.scopes[name] = Scope(declared, self.now, breaker=breaker)
        self.scopes[name].resource = declared
        return self.scopes[name]

    def _levels(self, scope: Scope) -> dict[str, float]:
        passed = max(0, self.now - scope.at)
        levels = {}
        for name, bucket in _buckets(scope):
            level: float = bucket.capacity
            since = 0
            if name in scope.levels:
                level, since = scope.levels[name], passed
            elif self.lost_at is not None:
                level, since = 0, max(0, self.now - self.lost_at)
            gained = bucket.refill * since / (bucket.window * 1000)
            levels[name] = min(bucket.capacity, level + gained)
        return levels

    def _hear(
        self, scope: Scope, levels: dict[str, float], block_ms: int, left: Mapping[str, float | str]
    ) -> None:
        block_ms = min(block_ms, HOUR_MS)
        requests = scope.bucket("requests")
        if block_ms > 0:
            scope.blocked = max(self._blocked(scope), self.now + block_ms)
            if requests:
                gained = requests.refill * block_ms / (requests.window * 1000)
                levels["requests"] = min(levels["requests"], -gained)
        for name, amount in left.items():
            if name in levels and amount != "":
                levels[name] = min(levels[name], float(amount))
        self._keep(scope, levels)

    def _refusal(
        self, scope: Scope, amounts: Mapping[str, float]
    ) -> tuple[str, str, int | None] | None:
        """Why a call may not even wait: code, what is short, and when to come again."""
        for name, bucket in _buckets(scope):
            if amounts[name] > bucket.capacity:
                return "COST_TOO_LARGE", name, None
        closed = self._closed_for(scope, self._look(scope))
        return None if closed is None else ("BREAKER_OPEN", "breaker", closed)

    def _obstacle(
        self,
        scope: Scope,
        breaker: BreakerState,
        levels: Mapping[str, float],
        amounts: Mapping[str, float],
    ) -> tuple[str, int, str, int | None]:
        """What keeps a call out longest: code, time and what is short; and the limit of calls."""
        wait, short = _bucket_wait(scope, levels, amounts, self._blocked(scope) - self.now)
        busy, busy_short, limit = self._busy_for(scope, breaker)
        if busy > wait:
            return "RESOURCE_BUSY", busy, busy_short, limit
        return "RATE_LIMITED", wait, short, limit

    def _take(
        self,
        scope: Scope,
        one: str,
        breaker: BreakerState,
        levels: dict[str, float],
        amounts: Mapping[str, float],
    ) -> None:
        if one in scope.tickets:
            scope.virtual = scope.tickets[one].start
            self._remove_ticket(scope, one)
        self._keep(scope, {name: level - amounts[name] for name, level in levels.items()})
        scope.breaker = breaker
        self.calls[one] = OpenCall(dict(amounts), breaker.generation, self.now)
        scope.leases[one] = self.now + self.lease_ms
        if breaker.state == "half_open" and not self._forced(scope):
            scope.probes[one] = scope.leases[one]
        self._wake(scope)

    def _keep(self, scope: Scope, levels: dict[str, float]) -> None:
        scope.levels, scope.at, scope.is_kept = levels, self.now, True
        scope.blocked = self._blocked(scope)

    def _blocked(self, scope: Scope) -> int:
        """Until when the provider wants no calls. A time too far away was set by a wrong clock."""
        return 0 if scope.blocked - self.now > HOUR_MS else scope.blocked

    def _busy_for(self, scope: Scope, breaker: BreakerState) -> tuple[int, str, int | None]:
        limit, short = scope.resource.concurrency, "concurrency"
        if limit and self.lost_at is not None:
            left = self.lost_at + self.lease_ms - self.now
            if 0 < left <= self.lease_ms:
                return left, short, limit
        ramp = self._ramp(scope, breaker)
        if ramp is not None and (limit is None or ramp < limit):
            limit, short = ramp, "ramp"
        if limit is None or len(scope.leases) < limit:
            return 0, "", limit
        return max(1, math.ceil((scope.mean or 1000) / limit)), short, limit

    def _stand_in_line(self, scope: Scope, one: str, tenant: str, charge: int) -> int:
        """Stand in line, or still do; answers how many stand before it."""
        if one not in scope.tickets:
            start = max(scope.virtual, scope.ends[tenant])
            scope.ends[tenant] = start + charge
            scope.arrivals += 1
            scope.tickets[one] = Ticket(tenant, start, charge, scope.arrivals, 0)
        own = scope.tickets[one]
        own.until = self.now + self.lease_ms
        return sum(
            (other.start, other.order) < (own.start, own.order) for other in scope.tickets.values()
        )

    def _remove_ticket(self, scope: Scope, one: str) -> None:
        del scope.tickets[one]
        if not scope.tickets:
            scope.virtual, scope.arrivals = 0, 0
            scope.ends.clear()

    def _return_turn(self, scope: Scope, one: str) -> None:
        if one in scope.tickets:
            ticket = scope.tickets[one]
            scope.ends[ticket.tenant] -= ticket.charge
            self._remove_ticket(scope, one)

    def _refuse(self, scope: Scope, one: str, code: str, short: str, wait: int | None) -> Reply:
        self._return_turn(scope, one)
        self._wake(scope)
        return ["refused", code, short, "" if wait is None else f"{wait}", "0"]

    def _wake(self, scope: Scope) -> None:
        if scope.tickets:
            first = min(scope.tickets, key=lambda one: _place(scope.tickets[one]))
            self.woken.append(first)

    def _end(self, scope: Scope, budget: int) -> None:
        over = sorted((until, one) for one, until in scope.leases.items() if until <= self.now)
        for _, one in over[:budget]:
            del scope.leases[one]
            scope.probes.pop(one, None)
        gone = sorted(
            (ticket.until, ticket.order, one)
            for one, ticket in scope.tickets.items()
            if ticket.until <= self.now
        )
        for _, _, one in gone[:budget]:
            self._remove_ticket(scope, one)

    # --- breakers -------------------------------------------------------------------------

    def _forced(self, scope: Scope) -> str:
        [name] = [name for name, one in self.scopes.items() if one is scope]
        return self.forced.get(name) or self.forced.get(name.split(" ")[0], "")

    def _look(self, scope: Scope) -> BreakerState:
        """The breaker now. That its time has come is kept by whoever lets a probe through."""
        policy, old = scope.resource.breaker, scope.breaker
        if policy and old.state == "open":
            far = old.retry_at - self.now > policy.max_cooldown * 1000 * 1.1
            if self.now >= old.retry_at or far:
                return BreakerState(
                    "half_open",
                    old.generation + 1,
                    old.failures,
                    old.trips,
                    old.retry_at,
                    old.ramp_at,
                )
        return old

    def _closed_for(self, scope: Scope, breaker: BreakerState) -> int | None:
        policy, forced = scope.resource.breaker, self._forced(scope)
        if forced == "open":
            return round(policy.cooldown * 1000) if policy else 30_000
        if forced == "closed" or policy is None or breaker.state == "closed":
            return None
        if breaker.state == "open":
            return breaker.retry_at - self.now
        return 1000 if breaker.probed + len(scope.probes) >= policy.probes else None

    def _ramp(self, scope: Scope, breaker: BreakerState) -> int | None:
        policy = scope.resource.breaker
        if not policy or breaker.state != "closed" or self._forced(scope) or not breaker.ramp_at:
            return None
        passed = self.now - breaker.ramp_at
        if not 0 <= passed < round(policy.ramp * 1000):
            return None
        return int(policy.probes * 2.0 ** (10 * passed / round(policy.ramp * 1000)))

    def _turn(self, scope: Scope, breaker: BreakerState, state: str) -> None:
        scope.breaker = BreakerState(
            state,
            breaker.generation + 1,
            trips=breaker.trips,
            retry_at=breaker.retry_at,
            ramp_at=breaker.ramp_at,
        )
        scope.probes.clear()

    def _trip(self, scope: Scope, policy: BreakerPolicy) -> None:
        breaker = scope.breaker
        breaker.trips += 1
        longest = round(policy.max_cooldown * 1000)
        cooldown = min(longest, round(policy.cooldown * 1000) * 2.0 ** (breaker.trips - 1))
        breaker.retry_at = self.now + math.floor(cooldown * (1 + self.now % 1000 / 10_000))
        self._turn(scope, breaker, "open")

    def _judge(self, scope: Scope, generation: int, outcome: str, took: int) -> None:
        policy, breaker = scope.resource.breaker, self._look(scope)
        if not policy or self._forced(scope) or breaker.generation != generation:
            return
        if outcome == "caller":
            return
        failed = outcome != "success"
        slow = policy.slow_rate is not None and took >= policy.slow_call * 1000
        if breaker.state == "half_open":
            self._judge_probe(scope, policy, failed or slow)
            return
        breaker.failures = breaker.failures + 1 if failed else 0
        if not failed and self.now - breaker.ramp_at >= policy.ramp * 1000:
            breaker.trips = 0
        if self._is_too_much(breaker, policy, failed, slow):
            self._trip(scope, policy)

    def _judge_probe(self, scope: Scope, policy: BreakerPolicy, failed: bool) -> None:
        if failed:
            self._trip(scope, policy)
            return
        scope.breaker.probed += 1
        if scope.breaker.probed >= policy.probes:
            scope.breaker.ramp_at = self.now
            self._turn(scope, scope.breaker, "closed")

    def _is_too_much(
        self, breaker: BreakerState, policy: BreakerPolicy, failed: bool, slow: bool
    ) -> bool:
        epoch = math.floor(self.now * SLICES / round(policy.window * 1000))
        breaker.slices = {
            at: sums for at, sums in breaker.slices.items() if 0 <= epoch - at < SLICES
        }
        before = breaker.slices.get(epoch, (0, 0, 0))
        breaker.slices[epoch] = (before[0] + 1, before[1] + failed, before[2] + slow)
        calls, failures, slows = map(sum, zip(*breaker.slices.values(), strict=True))
        if policy.failures and breaker.failures >= policy.failures:
            return True
        if calls < policy.min_calls:
            return False
        return bool(policy.failure_rate and failures / calls >= policy.failure_rate) or bool(
            policy.slow_rate and slows / calls >= policy.slow_rate
        )


def _place(ticket: Ticket) -> tuple[int, int]:
    return ticket.start, ticket.order


def _buckets(scope: Scope) -> Iterator[tuple[str, Bucket]]:
    return iter(scope.resource.buckets().items())


def _milliseconds(amount: float, bucket: Bucket) -> int:
    return math.ceil(amount * (bucket.window * 1000) / bucket.refill)


def _charge(scope: Scope, amounts: Mapping[str, float]) -> int:
    return max([1, *(_milliseconds(amounts[name], bucket) for name, bucket in _buckets(scope))])


def _bucket_wait(
    scope: Scope, levels: Mapping[str, float], amounts: Mapping[str, float], blocked: int
) -> tuple[int, str]:
    wait, short = max(0, blocked), "provider"
    for name, bucket in _buckets(scope):
        if amounts[name] > levels[name]:
            longer = _milliseconds(amounts[name] - levels[name], bucket)
            if longer > wait:
                wait, short = longer, name
    return wait, short
