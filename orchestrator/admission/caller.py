"""Calls scripts: finds the server, loads what it lacks, and waits while the gate is rebuilt."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, cast

import redis
from redis.backoff import ExponentialBackoff
from redis.exceptions import (
    BusyLoadingError,
    NoScriptError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.retry import Retry

from orchestrator.admission.keys import hash_tag
from orchestrator.admission.scripts import Library, Script
from orchestrator.admission.wire import Wire, pack, pack_head
from orchestrator.domain.errors import GateUnavailable

#: How long a call waits for another process to rebuild the gate, in seconds.
REBUILD_PATIENCE = 30.0


class ScriptCaller:
    """The scripts of one gate, by name.

    `on_empty` is called when the gate finds that it knows nothing (a new or emptied Redis); it
    rebuilds the gate from PostgreSQL, or returns at once when another process is at it.
    """

    def __init__(
        self,
        url: str,
        library: Library,
        *,
        name: str = "orchestrator",
        on_empty: Callable[[], object] | None = None,
        timeout: float = 5.0,
    ) -> None:
        self.name = name
        self.redis = connect(url, timeout)
        self.on_empty = on_empty
        self._wire = Wire(self.redis)
        self._tag = hash_tag(name)
        self._scripts = {script.name: script for script in library}

    def close(self) -> None:
        """Close all connections."""
        self._wire.close()
        self.redis.close()

    def _run(self, name: str, **values: object) -> Any:
        script = self._scripts[name]
        arguments = script.bind(values)
        return self._when_ready(lambda: self._evaluate(script, arguments))

    def _run_many(self, name: str, calls: Sequence[dict[str, object]]) -> list[Any]:
        """One script several times in one round trip. Each call decides by itself."""
        if not calls:
            return []
        script = self._scripts[name]
        arguments = [script.bind(values) for values in calls]
        return cast(list[Any], self._when_ready(lambda: self._pipeline(script, arguments)))

    def _evaluate(self, script: Script, arguments: list[object]) -> Any:
        [reply] = self._pipeline(script, [arguments])
        return reply

    def _pipeline(self, script: Script, calls: list[list[object]]) -> list[Any]:
        head = pack_head("EVALSHA", script.sha, "1", self._tag)
        commands = [pack(head, 4, arguments) for arguments in calls]
        try:
            return self._wire.call_many(commands)
        except NoScriptError:
            self.redis.script_load(script.source)
            return self._wire.call_many(commands)

    def _when_ready(self, action: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + REBUILD_PATIENCE
        pause = 0.01
        while True:
            try:
                return self._call(action)
            except GateEmpty:
                if time.monotonic() > deadline or self.on_empty is None:
                    raise
            self.on_empty()
            time.sleep(pause)
            pause = min(pause * 2, 0.5)

    def _call(self, action: Callable[..., Any], *arguments: object) -> Any:
        try:
            return action(*arguments)
        except ResponseError as error:
            if "GATE_EMPTY" in str(error):
                raise GateEmpty() from None
            if isinstance(error, BusyLoadingError | ReadOnlyError) or "OOM" in str(error):
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


def connect(url: str, timeout: float) -> redis.Redis:
    """A client whose calls end within about `timeout` seconds, whatever the network does."""
    return redis.Redis.from_url(
        url,
        decode_responses=True,
        socket_timeout=timeout,
        socket_connect_timeout=min(timeout, 2.0),
        socket_keepalive=True,
        health_check_interval=10,
        # A connection that broke while idle is replaced. Timeouts are not repeated: the caller
        # has waited long enough. All scripts may run twice.
        retry=Retry(ExponentialBackoff(cap=0.2, base=0.02), 2, (redis.ConnectionError,)),
        retry_on_error=[redis.ConnectionError],
    )


def _unavailable(error: Exception) -> GateUnavailable:
    return GateUnavailable(
        "GATE_UNAVAILABLE",
        f"Redis does not answer: {error}. Check ORCHESTRATOR_REDIS_URL and `orchestrator doctor`, "
        "or start the embedded stack with `orchestrator dev`.",
    )
