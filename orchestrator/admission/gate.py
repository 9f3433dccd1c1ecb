"""The gate as the engine sees it: one method a script, values in and out."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from typing import cast

import redis

from orchestrator.admission.budgets import BudgetCalls
from orchestrator.admission.calls import CallGate
from orchestrator.admission.credits import CreditCalls
from orchestrator.admission.explaining import ExplainCalls
from orchestrator.admission.limits import DEALT, LimitCalls, part
from orchestrator.admission.pausing import PauseCalls
from orchestrator.admission.replies import Glance, Pulse, Sweep, to_verdict
from orchestrator.admission.sleeping import SleepCalls
from orchestrator.admission.succession import SuccessionCalls
from orchestrator.admission.timing import TimeCalls
from orchestrator.admission.values import (
    adopt_values,
    check_in_values,
    describe,
    follow_values,
    or_empty,
)
from orchestrator.admission.waiting import WaitCalls
from orchestrator.domain.errors import GateUnavailable
from orchestrator.domain.instance import Instance, NewInstance
from orchestrator.domain.limits import Limits
from orchestrator.domain.priority import Priority
from orchestrator.domain.verdict import Verdict


class Gate(
    LimitCalls,
    CreditCalls,
    BudgetCalls,
    CallGate,
    WaitCalls,
    SleepCalls,
    ExplainCalls,
    PauseCalls,
    SuccessionCalls,
    TimeCalls,
):
    """All decisions about limits, taken by Lua scripts in Redis."""

    #: which shard is dealt the first of what a worker has free
    _first_shard = 0

    # --- a spawn --------------------------------------------------------------------------

    def check_in(self, new: NewInstance, on_limit: str, *, held: bool = False) -> Verdict:
        """Decide about a spawn; see `lua/check_in.lua`.

        `held`: it is to wait for others first, so it needs a place in the queue and no slot.
        """
        return to_verdict(self._run("check_in", **check_in_values(new, on_limit, held=held)))

    def check_in_many(
        self,
        news: Sequence[NewInstance],
        on_limit: Sequence[str],
        held: Collection[str] = (),
    ) -> list[Verdict]:
        """Decide about several spawns in one round trip, each by itself, in this order.

        `held`: the ids of those that are to wait for others first.
        """
        calls = [
            check_in_values(new, wish, held=new.id in held)
            for new, wish in zip(news, on_limit, strict=True)
        ]
        return [to_verdict(reply) for reply in self._run_many("check_in", calls)]

    def follow(self, new: NewInstance) -> str:
        """Start a recorded spawn or put it in line; answers its place."""
        place, more = self._run("follow", **follow_values(new))
        self._pump_if(more)
        return cast(str, place)

    def follow_many(self, news: Sequence[NewInstance]) -> list[str]:
        """`follow` for several in one round trip."""
        replies = self._run_many("follow", [follow_values(new) for new in news])
        self._pump_if(any(more for _, more in replies))
        return [place for place, _ in replies]

    def withdraw(self, ids: Sequence[str]) -> None:
        """Give back what check-in held for spawns that will not be recorded."""
        self._pump_if(any(self._run_many("withdraw", [{"id": one} for one in ids])))

    # --- an attempt -----------------------------------------------------------------------

    def release(self, instance_id: str, attempt: int, *, ended: bool = True) -> None:
        """Free the slot of an attempt that is over, and hand out the next.

        `ended`: whether its instance has ended for good, so that nobody has to wait for it any
        more; False where another attempt has taken over.
        """
        self._pump_if(self._run("release", id=instance_id, attempt=attempt, ended=int(ended)))

    def requeue(self, instance: Instance, attempt: int, delay: float = 0.0) -> None:
        """Put an instance back in line after its attempt, not before `delay` seconds."""
        values = describe(instance) | {
            "attempt": attempt,
            "cost": or_empty(instance.cost),
            "delay_ms": round(delay * 1000),
        }
        self._pump_if(self._run("requeue", **values))

    def cancel(self, ids: Sequence[str]) -> None:
        """Take ended instances out of line and have running ones stopped."""
        self._run_in_parts("cancel", ids)

    # --- workers and housekeeping ---------------------------------------------------------

    def heartbeat(
        self, worker: str, pool: str, capacity: int, running: Sequence[tuple[str, int]]
    ) -> Pulse:
        """Renew all leases of a worker process."""
        pulses = [
            self._beat(number, worker, pool, share, mine)
            for number, (share, mine) in enumerate(self._shares(capacity, running))
        ]
        dues = [pulse.next_due for pulse in pulses if pulse.next_due is not None]
        return Pulse(
            any(pulse.more for pulse in pulses),
            min(dues, default=None),
            frozenset().union(*(pulse.doubtful for pulse in pulses)),
            frozenset().union(*(pulse.displaced for pulse in pulses)),
            frozenset().union(*(pulse.unheld for pulse in pulses)),
        )

    def _beat(
        self, number: int, worker: str, pool: str, capacity: int, running: Sequence[tuple[str, int]]
    ) -> Pulse:
        flat = [field for pair in running for field in pair]
        values = {"worker": worker, "pool": pool, "capacity": capacity, "running": flat}
        more, due, displaced, doubtful, *ids = self._run_on(number, "heartbeat", **values)
        return Pulse(
            bool(more),
            None if due < 0 else due / 1000,
            frozenset(ids[displaced : displaced + doubtful]),
            frozenset(ids[:displaced]),
            frozenset(ids[displaced + doubtful :]),
        )

    def _shares(
        self, capacity: int, running: Sequence[tuple[str, int]]
    ) -> Iterator[tuple[int, list[tuple[str, int]]]]:
        """What a worker offers to each shard, and what of it runs there.

        What runs stays where it is; what is free is dealt out evenly, beginning with another shard
        at each beat. A shard that fills its part keeps it and gets part of the rest with the next.
        """
        count = len(self.shards)
        mine: list[list[tuple[str, int]]] = [[] for _ in range(count)]
        for one, attempt in running:
            mine[self.shard_of_id(one)].append((one, attempt))
        free = max(0, capacity - len(running))
        self._first_shard = (self._first_shard + 1) % count
        for number, own in enumerate(mine):
            turn = (number - self._first_shard) % count
            yield min(capacity, len(own)) + free // count + (turn < free % count), own

    def leave(self, worker: str) -> None:
        """A worker takes no more work."""
        self._run_everywhere("leave", worker=worker)

    def sweep(self, budget: int, hold: float) -> Sweep:
        """End what has run out and claim expired places for `hold` seconds."""
        replies = self._run_everywhere("sweep", budget=budget, hold_ms=round(hold * 1000))
        expired = [
            (one, int(attempt), why)
            for _more, *flat in replies
            for one, attempt, why in zip(flat[::3], flat[1::3], flat[2::3], strict=True)
        ]
        return Sweep(any(more for more, *_ in replies), tuple(expired))

    def forget(
        self, instance_id: str, attempt: int, *, recorded: bool = True, ended: bool = True
    ) -> None:
        """Give up an expired place that belongs to no live instance.

        `recorded`: whether there was one at all; a spawn that was not recorded was none.
        `ended`: whether it has ended for good; False where another attempt has taken over.
        """
        values = {"recorded": int(recorded), "ended": int(ended)}
        self._pump_if(self._run("forget", id=instance_id, attempt=attempt, **values))

    def unknown(self, ids: Sequence[str]) -> list[str]:
        """Those of the ids that the gate knows nothing of."""
        return [one for missing in self._run_split("unknown", ids) for one in missing]

    def adopt(self, instances: Sequence[Instance]) -> None:
        """Learn of live instances from their rows."""
        self._run_many("adopt", [adopt_values(instance) for instance in instances])
        if paused := [one.id for one in instances if one.paused_at is not None]:
            self.pause(paused)

    def begin_round(self, job: str, period: float) -> bool:
        """Whether this call is the one to do the current round of a housekeeping job."""
        return bool(self._run_on(0, "begin_round", job=job, period_ms=round(period * 1000)))

    def glance(self, instance_id: str) -> Glance:
        """Where an instance is."""
        place, attempt, stop = self._run("glance", id=instance_id)
        return Glance(place, int(attempt), stop)

    # --- the gate itself ------------------------------------------------------------------

    def configure(
        self,
        limits: Limits,
        *,
        lease: float,
        dispatch: float,
        outbox: bool,
        victim: str = "closer",
        aging: float = 30.0,
        fair_unit: str = "slot_seconds",
        preempt_from: Priority | None = None,
    ) -> None:
        """Set the limits and times; they hold for every process at once.

        Instances of the class `preempt_from` and of more urgent ones may displace others.
        """
        fields: dict[str, object] = {
            "max_depth": limits.max_depth,
            "session": limits.session_concurrency,
            "tenant": limits.tenant_concurrency,
            "pool": limits.pool_concurrency,
            "global": limits.global_concurrency,
            "session_queue": limits.session_queue,
            "tenant_queue": limits.tenant_queue,
            "global_queue": limits.global_queue,
            "lease_ms": round(lease * 1000),
            "dispatch_ms": round(dispatch * 1000),
            "outbox": int(outbox),
            "aging_ms": round(aging * 1000),
            "fair_unit": fair_unit,
            "victim": victim,
            "preempt_from": -1 if preempt_from is None else int(preempt_from),
        }
        for shard in range(self.size):
            mine = fields | {
                name: round(part(cast(float, fields[name]), shard, self.size))
                for name in DEALT
                if name in fields
            }
            flat = [word for pair in mine.items() for word in pair]
            self._run_on(shard, "configure", fields=flat)

    def refresh_flows(self) -> None:
        """Put every flow where it belongs now, and hand out what then has room."""
        for number in range(self.size):
            cursor, again = "0", False
            while True:
                cursor, more = self._run_on(number, "refresh_flows", cursor=cursor, count=100)
                again = again or bool(more)
                if cursor == "0":
                    break
            self._pump_if(again)

    def begin_rebuild(self, token: str, hold: float, shard: int = 0) -> str:
        """Claim the rebuilding of an empty shard: `ready`, `yours` or `busy`."""
        values = {"token": token, "hold_ms": round(hold * 1000)}
        return cast(str, self._run_on(shard, "begin_rebuild", **values))

    def hold_rebuild(self, token: str, hold: float, shard: int = 0) -> bool:
        """Go on holding the claim; False when it was lost, because Redis was emptied again."""
        return bool(self._run_on(shard, "hold_rebuild", token=token, hold_ms=round(hold * 1000)))

    def finish_rebuild(self, token: str, shard: int = 0) -> bool:
        """Open a rebuilt shard."""
        return bool(self._run_on(shard, "finish_rebuild", token=token))

    # --- the outbox, where the broker is not this Redis -----------------------------------

    def take_outbox(self, patience: float, most: int = 100) -> list[str]:
        """Up to `most` messages to be published, oldest first; waits for the first one."""
        ready = [
            text
            for texts in self._ask_everywhere("rpop", "outbox", "", most)
            for text in texts or ()
        ]
        if ready:
            return ready
        # Of several shards only one can be waited for; the others are looked at again soon.
        first = self._ask(0, "brpop", "outbox", "", patience / len(self.shards))
        return [] if first is None else [first[1]]

    def return_outbox(self, texts: Sequence[str]) -> None:
        """Put messages that could not be published back where they were."""
        self._ask(0, "rpush", "outbox", "", *reversed(texts))

    # --- reading --------------------------------------------------------------------------

    def workers(self) -> dict[str, dict[str, int]]:
        """The live workers and what each offers to which pool."""
        offers: dict[str, Counter[str]] = defaultdict(Counter)
        for number in range(self.size):
            now = self._now_of(number)
            for name in self._ask(number, "zrangebyscore", "workers", "", now, "+inf"):
                for pool, capacity in self._ask(number, "hgetall", "worker", name).items():
                    offers[name][pool] += int(capacity)
        return {name: dict(offer) for name, offer in offers.items()}

    def held(self) -> int:
        """How many slots are held in all."""
        return sum(self._ask_everywhere("zcard", "leases"))

    def backlog(self) -> int:
        """How many instances wait in line."""
        return sum(self._ask_everywhere("zcard", "backlog"))

    def backlog_pages(self, size: int) -> Iterator[list[str]]:
        """The ids that wait in line, in pages of about `size`; a page may repeat some."""
        return self._pages("backlog", size)

    def suspended_pages(self, size: int) -> Iterator[list[str]]:
        """The same for those that wait without a slot."""
        return self._pages("suspended", size)

    def _pages(self, name: str, size: int) -> Iterator[list[str]]:
        for number in range(self.size):
            cursor = -1
            while cursor:
                scan = self._ask(number, "zscan", name, "", max(cursor, 0), None, size)
                cursor, found = int(scan[0]), [one for one, _score in scan[1]]
                if found:
                    yield found

    def refusals(self) -> dict[str, int]:
        """How many spawns were refused since the gate was filled, by code."""
        total: Counter[str] = Counter()
        for counts in self._ask_everywhere("hgetall", "refusals"):
            total.update({code: int(count) for code, count in counts.items()})
        return dict(total)

    def server(self) -> dict[str, str]:
        """What the server tells of itself, as in `INFO server`."""
        return {name: str(value) for name, value in self._call(self.redis.info, "server").items()}

    def server_setting(self, name: str) -> str | None:
        """A setting of the server; None where it does not tell (managed ones often do not)."""
        try:
            value = self._call(self.redis.config_get, name).get(name)
        except (redis.ResponseError, GateUnavailable):
            return None
        return None if value is None else str(value)

    def channel(self, name: str, instance_id: str) -> str:
        """The pub/sub channel of an instance, as `done`."""
        return self.shards[self.shard_of_id(instance_id)].key(name, instance_id)

    def channels(self, name: str, suffix: str = "") -> list[str]:
        """The pub/sub channels of this name, as `stop` or `granted` with a worker: one a shard."""
        return [shard.key(name, suffix) for shard in self.shards]

    def queues(self, pool: str) -> list[str]:
        """The Celery queues of a pool: one a shard."""
        return [shard.key("queue", pool) for shard in self.shards]
