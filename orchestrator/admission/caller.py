"""Calls scripts on the shard that they concern, and waits while a shard is rebuilt."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import redis
from redis.exceptions import (
    AskError,
    BusyLoadingError,
    ClusterDownError,
    MasterDownError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)

from orchestrator.admission.scripts import Library, Script
from orchestrator.admission.shard import Shard
from orchestrator.domain.errors import GateUnavailable
from orchestrator.domain.ids import partition_of, partition_of_id

#: How long a call waits for another process to rebuild a shard, in seconds.
REBUILD_PATIENCE = 30.0


class ScriptCaller:
    """The scripts of one gate, by name.

    A gate has one shard unless told otherwise. With more, each tenant belongs to one of them:
    a script that names a tenant or an instance runs there, others where they are told to.

    `on_empty` is called with the number of a shard that finds that it knows nothing (a new or
    emptied Redis); it rebuilds the shard from PostgreSQL, or returns at once when another
    process is at it.
    """

    def __init__(
        self,
        url: str,
        library: Library,
        *,
        name: str = "orchestrator",
        shards: int = 1,
        on_empty: Callable[[int], object] | None = None,
        timeout: float = 5.0,
    ) -> None:
        self.name = name
        self.shards = [Shard(url, one, timeout) for one in shard_names(name, shards)]
        self.on_empty = on_empty
        self._scripts = {script.name: script for script in library}

    @property
    def redis(self) -> redis.Redis:
        """A client of a server: for pub/sub, which all servers of a cluster carry."""
        return self.shards[0].redis

    def close(self) -> None:
        """Close all connections."""
        for shard in self.shards:
            shard.close()

    @property
    def size(self) -> int:
        """How many shards there are."""
        return len(self.shards)

    def shard_of(self, tenant: str) -> int:
        """The number of the shard that a tenant belongs to."""
        return partition_of(tenant) % len(self.shards)

    def shard_of_id(self, instance_id: str) -> int:
        """The number of the shard that knows an instance."""
        # Without shards, ids need not have been made here.
        return 0 if len(self.shards) == 1 else partition_of_id(instance_id) % len(self.shards)

    def _run(self, name: str, **values: object) -> Any:
        """A script on the shard of the `tenant` or the `id` among its values."""
        return self._run_on(self._find_shard(values), name, **values)

    def _run_on(self, number: int, name: str, **values: object) -> Any:
        script = self._scripts[name]
        [reply] = self._when_ready(number, script, [script.bind(values)])
        return reply

    def _run_everywhere(self, name: str, **values: object) -> list[Any]:
        """A script on every shard, one after the other."""
        return [self._run_on(number, name, **values) for number in range(self.size)]

    def _run_many(self, name: str, calls: Sequence[Mapping[str, object]]) -> list[Any]:
        """One script several times, in one round trip a shard. Each call decides by itself."""
        script = self._scripts[name]
        places: dict[int, list[int]] = defaultdict(list)
        for place, values in enumerate(calls):
            places[self._find_shard(values)].append(place)
        replies: list[Any] = [None] * len(calls)
        for number, mine in places.items():
            arguments = [script.bind(calls[place]) for place in mine]
            for place, reply in zip(mine, self._when_ready(number, script, arguments), strict=True):
                replies[place] = reply
        return replies

    def _run_split(self, name: str, ids: Sequence[str]) -> list[Any]:
        """A script that takes `ids`, on each shard with those that belong there."""
        mine: dict[int, list[str]] = defaultdict(list)
        for one in ids:
            mine[self.shard_of_id(one)].append(one)
        return [self._run_on(number, name, ids=own) for number, own in mine.items()]

    def _ask(self, number: int, command: str, name: str, suffix: str = "", *more: object) -> Any:
        """A plain command on one key of a shard."""
        shard = self.shards[number]
        return self._call(shard.ask, command, shard.key(name, suffix), *more)

    def _ask_everywhere(self, command: str, name: str, suffix: str = "", *more: object) -> Any:
        """The same on every shard; answers the list of replies."""
        return [self._ask(number, command, name, suffix, *more) for number in range(self.size)]

    def _find_shard(self, values: Mapping[str, object]) -> int:
        if len(self.shards) == 1:
            return 0
        if "tenant" in values:
            return self.shard_of(str(values["tenant"]))
        return self.shard_of_id(str(values["id"]))

    def _when_ready(self, number: int, script: Script, calls: list[list[object]]) -> list[Any]:
        deadline = time.monotonic() + REBUILD_PATIENCE
        pause = 0.01
        while True:
            try:
                replies: list[Any] = self._call(self.shards[number].call, script, calls)
                return replies
            except GateEmpty:
                if time.monotonic() > deadline or self.on_empty is None:
                    raise
            self.on_empty(number)
            time.sleep(pause)
            pause = min(pause * 2, 0.5)

    def _call(self, action: Callable[..., Any], *arguments: object) -> Any:
        try:
            return action(*arguments)
        except ResponseError as error:
            if "GATE_EMPTY" in str(error):
                raise GateEmpty() from None
            if _is_passing(error):
                raise _unavailable(error) from error
            raise
        except RedisError as error:
            raise _unavailable(error) from error


class GateEmpty(GateUnavailable):
    """The gate knows nothing and is being rebuilt."""

    def __init__(self) -> None:
        super().__init__(
            "GATE_REBUILDING",
            "The gate is being rebuilt from PostgreSQL and takes no spawns until it is done. "
            "Repeat in a few seconds.",
        )


def shard_names(gate: str, shards: int) -> list[str]:
    """What the shards of a gate are called: their keys begin with it."""
    return [gate] if shards == 1 else [f"{gate}-{number}" for number in range(shards)]


#: A server that is full, has lost its primary, only replicates or is loading; a cluster in the
#: middle of a failover or of moving keys.
_PASSING = (
    OutOfMemoryError,
    MasterDownError,
    ReadOnlyError,
    BusyLoadingError,
    ClusterDownError,
    TryAgainError,
    AskError,
)
#: What has no class: it cannot write to its disk, has too few replicas, is held up by a script.
_PASSING_WORDS = ("MISCONF ", "NOREPLICAS ", "BUSY ", "CLUSTERDOWN ", "TRYAGAIN ", "MOVED ")


def _is_passing(error: ResponseError) -> bool:
    return isinstance(error, _PASSING) or str(error).startswith(_PASSING_WORDS)


def _unavailable(error: Exception) -> GateUnavailable:
    if isinstance(error, OutOfMemoryError):
        return GateUnavailable(
            "GATE_FULL",
            f"Redis has no memory left: {error}. What runs goes on and ends; new work is taken "
            "once there is room. Raise maxmemory, or drain queues.",
        )
    return GateUnavailable(
        "GATE_UNAVAILABLE",
        f"Redis does not answer: {error}. Check ORCHESTRATOR_REDIS_URL and `orchestrator doctor`, "
        "or start the embedded stack with `orchestrator dev`.",
    )
