"""The part of the gate that decides about calls of resources: one method a script."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime

from orchestrator.admission.accounts import owner_of
from orchestrator.admission.caller import ScriptCaller
from orchestrator.domain.call import Amounts, Breaker, CallRefusal, CallVerdict, Outcome
from orchestrator.domain.provider import Hint
from orchestrator.domain.resource import BreakerPolicy, Resource

#: What is counted, in the order of `lua/lib/resource.lua`.
DIMENSIONS = ("requests", "input_tokens", "output_tokens", "usd")


@dataclass(frozen=True)
class Caller:
    """A call as the gate knows it: its id, what is called, and for whom."""

    id: str
    resource: str
    tenant: str
    #: the instance that calls; empty outside of agents
    instance: str = ""


class CallGate(ScriptCaller):
    """Decisions about resources, taken by the scripts."""

    def acquire(self, caller: Caller, amounts: Amounts, *, may_wait: bool) -> CallVerdict:
        """Take what a call needs, or say when to come again; see `lua/acquire.lua`."""
        decision, code, scope, retry_ms, ahead = self._run(
            "acquire",
            **_who(caller) | {"instance": caller.instance, "may_wait": int(may_wait)},
            **asdict(amounts),
        )
        return CallVerdict(
            decision,
            CallRefusal(code) if code else None,
            _short(code, scope),
            float(retry_ms) / 1000 if retry_ms else None,
            int(ahead),
        )

    def settle_call(
        self,
        caller: Caller,
        outcome: Outcome,
        used: Mapping[str, float],
        hint: Hint | None = None,
    ) -> tuple[datetime, datetime]:
        """A call has ended; answers when it began and ended by the server's clock.

        What `used` does not name was as estimated.
        """
        hint = hint or Hint()
        started, ended = self._run(
            "settle_call",
            **_who(caller) | {"instance": caller.instance},
            **{name: used.get(name, "") for name in DIMENSIONS},
            **_hint_values(hint if self.size == 1 else Hint()),
            outcome=outcome,
        )
        if self.size > 1 and hint != Hint():
            self.observe(caller.resource, caller.tenant, hint)
        return _time(started), _time(ended)

    def give_up(self, caller: Caller) -> None:
        """A call will not be made after all."""
        self._run("give_up", **_who(caller))

    def renew_calls(self, callers: Sequence[Caller]) -> None:
        """These calls are still under way."""
        mine: dict[int, list[object]] = defaultdict(list)
        for caller in callers:
            mine[self.shard_of(caller.tenant)] += _who(caller).values()
        for number, calls in mine.items():
            self._run_on(number, "renew_calls", calls=calls)

    def observe(self, resource: str, tenant: str, hint: Hint) -> None:
        """Let all know what a provider says of its limits."""
        # Where a limit is dealt out, so is what is left of it.
        left = {name: amount / self.size for name, amount in hint.left.items()}
        values = _hint_values(replace(hint, left=left))
        self._run_everywhere("observe", resource=resource, tenant=tenant, **values)

    # --- resources ------------------------------------------------------------------------

    def declare(self, resources: Sequence[Resource]) -> None:
        """Set how much of each resource may be used; holds for every process at once."""
        for one in resources:
            fields = _flat(_policy(one.part(self.size)))
            self._run_everywhere("declare", resource=one.name, fields=fields)

    def declare_needs(self, agent: str, resources: Sequence[str]) -> None:
        """Say which resources a kind of agent calls."""
        self._run_everywhere(
            "declare_needs", agent=agent, resources=" ".join(sorted(set(resources)))
        )

    def note_loss(self, token: str, shard: int = 0) -> bool:
        """Say that an empty shard was not a new one; for the process that rebuilds it."""
        return bool(self._run_on(shard, "note_loss", token=token))

    def force_breaker(self, resource: str, tenant: str | None, mode: str) -> None:
        """Hold a breaker `open` or `closed`, or leave it to itself again (`auto`)."""
        values = {"resource": resource, "tenant": tenant or "", "mode": mode}
        self._run_everywhere("force_breaker", **values)

    def breakers(self, page: int = 100) -> list[Breaker]:
        """All scopes that have been called, by name."""
        found: dict[tuple[str, str], Breaker] = {}
        for number in range(self.size):
            mine = {(row[0], row[1]): _breaker(row) for row in self._breaker_rows(number, page)}
            for place, one in mine.items():
                found[place] = _together(found[place], one) if place in found else one
        return [found[place] for place in sorted(found)]

    def _breaker_rows(self, number: int, page: int) -> Iterator[list[str]]:
        cursor = "0"
        while True:
            cursor, *rows = self._run_on(number, "breakers", cursor=cursor, most=page)
            yield from rows
            if cursor == "0":
                return


def _who(caller: Caller) -> dict[str, object]:
    return {"id": caller.id, "resource": caller.resource, "tenant": caller.tenant}


def _short(code: str, scope: str) -> str:
    """What is short; of a budget the quantity, and whose it is."""
    if code != CallRefusal.BUDGET_EXCEEDED:
        return scope
    quantity, _, account = scope.partition(" ")
    return f"{quantity} of {owner_of(account)}"


def _hint_values(hint: Hint) -> dict[str, object]:
    left: dict[str, object] = {f"{name}_left": hint.left.get(name, "") for name in DIMENSIONS[:3]}
    return left | {"block_ms": round(hint.retry_after * 1000)}


def _time(milliseconds: str) -> datetime:
    return datetime.fromtimestamp(int(milliseconds) / 1000, UTC)


def _policy(resource: Resource) -> dict[str, object]:
    """A resource in the words of the scripts; what is not there is not limited."""
    values: dict[str, object] = {"per_tenant": int(resource.per_tenant)}
    for name, bucket in resource.buckets().items():
        values |= {
            f"{name}_capacity": bucket.capacity,
            f"{name}_refill": bucket.refill,
            f"{name}_window_ms": round(bucket.window * 1000),
        }
    if resource.concurrency is not None:
        values["concurrency"] = resource.concurrency
    if resource.breaker is not None:
        values |= _breaker_policy(resource.breaker)
    return values


def _breaker_policy(policy: BreakerPolicy) -> dict[str, object]:
    values: dict[str, object] = {
        "min_calls": policy.min_calls,
        "window_ms": round(policy.window * 1000),
        "slow_ms": round(policy.slow_call * 1000),
        "cooldown_ms": round(policy.cooldown * 1000),
        "max_cooldown_ms": round(policy.max_cooldown * 1000),
        "probes": policy.probes,
        "ramp_ms": round(policy.ramp * 1000),
    }
    for name in ("failures", "failure_rate", "slow_rate"):
        if (value := getattr(policy, name)) is not None:
            values[name] = value
    return values


def _flat(values: Mapping[str, object]) -> list[object]:
    return [part for pair in values.items() for part in pair]


def _breaker(row: Sequence[str]) -> Breaker:
    resource, tenant, state, forced, failures, trips, retry_ms, calls, waiting, *levels = row
    return Breaker(
        resource=resource,
        tenant=tenant or None,
        state=state,
        forced=forced or None,
        failures=int(failures),
        trips=int(trips),
        retry_after=float(retry_ms) / 1000 if retry_ms else None,
        calls=int(calls),
        waiting=int(waiting),
        levels={
            name: float(level) for name, level in zip(DIMENSIONS, levels, strict=True) if level
        },
    )


#: Of several shards, the state that is furthest from well is told.
_WORST = ("open", "half_open", "closed")


def _together(one: Breaker, other: Breaker) -> Breaker:
    """The parts of a breaker in two shards as one."""
    waits = [wait for wait in (one.retry_after, other.retry_after) if wait is not None]
    return replace(
        min(one, other, key=lambda part: _WORST.index(part.state)),
        failures=max(one.failures, other.failures),
        trips=max(one.trips, other.trips),
        retry_after=min(waits, default=None),
        calls=one.calls + other.calls,
        waiting=one.waiting + other.waiting,
        levels={name: level + other.levels.get(name, 0) for name, level in one.levels.items()},
    )
