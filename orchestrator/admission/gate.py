"""The gate as the engine sees it: one method a script, values in and out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import cast

import redis

from orchestrator.admission.caller import ScriptCaller
from orchestrator.admission.keys import key, queue_name
from orchestrator.admission.replies import Glance, Pulse, Sweep, to_verdict
from orchestrator.domain.errors import GateUnavailable
from orchestrator.domain.instance import Instance, NewInstance
from orchestrator.domain.limits import Limits
from orchestrator.domain.verdict import Verdict


class Gate(ScriptCaller):
    """All decisions about limits, taken by Lua scripts in one Redis."""

    # --- a spawn --------------------------------------------------------------------------

    def check_in(self, new: NewInstance, on_limit: str) -> Verdict:
        """Decide about a spawn; see `lua/check_in.lua`."""
        return to_verdict(self._run("check_in", **_check_in_values(new, on_limit)))

    def check_in_many(self, news: Sequence[NewInstance], on_limit: Sequence[str]) -> list[Verdict]:
        """Decide about several spawns in one round trip, each by itself, in this order."""
        calls = [_check_in_values(new, wish) for new, wish in zip(news, on_limit, strict=True)]
        return [to_verdict(reply) for reply in self._run_many("check_in", calls)]

    def follow(self, new: NewInstance) -> str:
        """Start a recorded spawn or put it in line; answers its place."""
        place, more = self._run("follow", **_follow_values(new))
        self._pump_if(more)
        return cast(str, place)

    def follow_many(self, news: Sequence[NewInstance]) -> list[str]:
        """`follow` for several in one round trip."""
        replies = self._run_many("follow", [_follow_values(new) for new in news])
        self._pump_if(any(more for _, more in replies))
        return [place for place, _ in replies]

    def withdraw(self, ids: Sequence[str]) -> None:
        """Give back what check-in held for spawns that will not be recorded."""
        self._pump_if(any(self._run_many("withdraw", [{"id": one} for one in ids])))

    # --- an attempt -----------------------------------------------------------------------

    def release(self, instance_id: str, attempt: int) -> None:
        """Free the slot of an attempt that has ended, and hand out the next."""
        self._pump_if(self._run("release", id=instance_id, attempt=attempt))

    def requeue(self, instance: Instance, attempt: int, delay: float = 0.0) -> None:
        """Put an instance back in line after its attempt, not before `delay` seconds."""
        values = _describe(instance) | {"attempt": attempt, "delay_ms": round(delay * 1000)}
        self._pump_if(self._run("requeue", **values))

    def suspend(self, instance_id: str, attempt: int, worker: str) -> bool:
        """Free the slot of an attempt that waits on a thread of this worker."""
        done, more = self._run("suspend", id=instance_id, attempt=attempt, worker=worker)
        self._pump_if(more)
        return bool(done)

    def resume(self, instance_id: str, attempt: int) -> Glance:
        """Ask for a slot again; answers where the instance is now, and as which attempt."""
        place, newest, more = self._run("resume", id=instance_id, attempt=attempt)
        self._pump_if(more)
        return Glance(place, int(newest), "")

    def cancel(self, ids: Sequence[str]) -> None:
        """Take ended instances out of line and have running ones stopped."""
        more = False
        for start in range(0, len(ids), 500):
            more |= bool(self._run("cancel", ids=ids[start : start + 500]))
        self._pump_if(more)

    def pump(self) -> None:
        """Hand out until there is no room or nobody waits."""
        while self._run("pump_now", budget=64):
            pass

    def _pump_if(self, more: object) -> None:
        if more:
            self.pump()

    # --- workers and housekeeping ---------------------------------------------------------

    def heartbeat(
        self, worker: str, pool: str, capacity: int, running: Sequence[tuple[str, int]]
    ) -> Pulse:
        """Renew all leases of a worker process."""
        flat = [field for pair in running for field in pair]
        reply = self._run("heartbeat", worker=worker, pool=pool, capacity=capacity, running=flat)
        more, due, *doubtful = reply
        return Pulse(bool(more), None if due < 0 else due / 1000, frozenset(doubtful))

    def leave(self, worker: str) -> None:
        """A worker takes no more work."""
        self._run("leave", worker=worker)

    def sweep(self, budget: int, hold: float) -> Sweep:
        """End what has run out and claim expired places for `hold` seconds."""
        more, *flat = self._run("sweep", budget=budget, hold_ms=round(hold * 1000))
        pairs = zip(flat[::2], map(int, flat[1::2]), strict=True)
        return Sweep(bool(more), tuple(pairs))

    def forget(self, instance_id: str, attempt: int) -> None:
        """Give up an expired place that belongs to no live instance."""
        self._run("forget", id=instance_id, attempt=attempt)

    def unknown(self, ids: Sequence[str]) -> list[str]:
        """Those of the ids that the gate knows nothing of."""
        return cast(list[str], self._run("unknown", ids=ids))

    def adopt(self, instances: Sequence[Instance]) -> None:
        """Learn of live instances from their rows."""
        calls = [
            _describe(instance)
            | {
                "attempt": instance.attempt,
                "state": instance.state,
                "delay_ms": _milliseconds_until(instance.not_before),
                "worker": instance.worker or "",
            }
            for instance in instances
        ]
        self._run_many("adopt", calls)

    def begin_round(self, job: str, period: float) -> bool:
        """Whether this call is the one to do the current round of a housekeeping job."""
        return bool(self._run("begin_round", job=job, period_ms=round(period * 1000)))

    def glance(self, instance_id: str) -> Glance:
        """Where an instance is."""
        place, attempt, stop = self._run("glance", id=instance_id)
        return Glance(place, int(attempt), stop)

    # --- the gate itself ------------------------------------------------------------------

    def configure(self, limits: Limits, *, lease: float, dispatch: float, outbox: bool) -> None:
        """Set the limits and times; they hold for every process at once."""
        fields = {
            "max_depth": limits.max_depth,
            "session": limits.session_concurrency,
            "tenant": limits.tenant_concurrency,
            "pool": limits.pool_concurrency,
            "global": limits.global_concurrency,
            "tenant_queue": limits.tenant_queue,
            "global_queue": limits.global_queue,
            "lease_ms": round(lease * 1000),
            "dispatch_ms": round(dispatch * 1000),
            "outbox": int(outbox),
        }
        self._run("configure", fields=[part for pair in fields.items() for part in pair])

    def refresh_flows(self) -> None:
        """Put every flow where it belongs now, and hand out what then has room."""
        cursor, again = "0", False
        while True:
            cursor, more = self._run("refresh_flows", cursor=cursor, count=100)
            again = again or bool(more)
            if cursor == "0":
                break
        self._pump_if(again)

    def begin_rebuild(self, token: str, hold: float) -> str:
        """Claim the rebuilding of an empty gate: `ready`, `yours` or `busy`."""
        reply = self._run("begin_rebuild", token=token, hold_ms=round(hold * 1000))
        return cast(str, reply)

    def hold_rebuild(self, token: str, hold: float) -> bool:
        """Go on holding the claim; False when it was lost, because Redis was emptied again."""
        return bool(self._run("hold_rebuild", token=token, hold_ms=round(hold * 1000)))

    def finish_rebuild(self, token: str) -> bool:
        """Open a rebuilt gate."""
        return bool(self._run("finish_rebuild", token=token))

    # --- the outbox, where the broker is not this Redis -----------------------------------

    def take_outbox(self, patience: float, most: int = 100) -> list[str]:
        """Up to `most` messages to be published, oldest first; waits for the first one."""
        outbox = key(self.name, "outbox")
        first = self._call(self.redis.brpop, [outbox], patience)
        if first is None:
            return []
        return [first[1], *(self._call(self.redis.rpop, outbox, most - 1) or [])]

    def return_outbox(self, texts: Sequence[str]) -> None:
        """Put messages that could not be published back where they were."""
        self._call(self.redis.rpush, key(self.name, "outbox"), *reversed(texts))

    # --- reading --------------------------------------------------------------------------

    def workers(self) -> dict[str, dict[str, int]]:
        """The live workers and what each offers to which pool."""
        names = self._call(self.redis.zrangebyscore, key(self.name, "workers"), self.now(), "+inf")
        offers = {
            name: self._call(self.redis.hgetall, key(self.name, "worker", name)) for name in names
        }
        return {
            name: {pool: int(capacity) for pool, capacity in offer.items()}
            for name, offer in offers.items()
        }

    def held(self) -> int:
        """How many slots are held in all."""
        return cast(int, self._call(self.redis.zcard, key(self.name, "leases")))

    def backlog(self) -> int:
        """How many instances wait in line."""
        return cast(int, self._call(self.redis.zcard, key(self.name, "backlog")))

    def backlog_pages(self, size: int) -> Iterator[list[str]]:
        """The ids that wait in line, in pages of about `size`; a page may repeat some."""
        cursor = 0
        while True:
            scan = self._call(self.redis.zscan, key(self.name, "backlog"), cursor, None, size)
            cursor, found = int(scan[0]), [one for one, _since in scan[1]]
            if found:
                yield found
            if cursor == 0:
                return

    def refusals(self) -> dict[str, int]:
        """How many spawns were refused since the gate was filled, by code."""
        counts = self._call(self.redis.hgetall, key(self.name, "refusals"))
        return {code: int(count) for code, count in counts.items()}

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

    def now(self) -> int:
        """Milliseconds of the server's clock."""
        seconds, micros = self._call(self.redis.time)
        return int(seconds) * 1000 + int(micros) // 1000

    def channel(self, name: str, suffix: str = "") -> str:
        """The pub/sub channel `done`, `granted` or `stop`."""
        return key(self.name, name, suffix)

    def queue(self, pool: str) -> str:
        """The Celery queue of a pool."""
        return queue_name(self.name, pool)


def _describe(instance: Instance | NewInstance) -> dict[str, object]:
    return {
        "id": instance.id,
        "session": instance.session,
        "tenant": instance.tenant,
        "pool": instance.pool,
        "agent": instance.agent,
        "priority": int(instance.priority),
    }


def _milliseconds_until(time: datetime | None) -> int:
    """How long to wait by this process's clock; only the length of a backoff hangs on it."""
    return 0 if time is None else max(0, round((time - datetime.now(UTC)).total_seconds() * 1000))


def _check_in_values(new: NewInstance, on_limit: str) -> dict[str, object]:
    return _describe(new) | {
        "depth": new.depth,
        "parent": new.parent.id if new.parent else "",
        "parent_attempt": new.parent.attempt if new.parent else 0,
        "on_limit": on_limit,
    }


def _follow_values(new: NewInstance) -> dict[str, object]:
    return _describe(new) | {"attempt": 0}
