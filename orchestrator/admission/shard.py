"""One shard of a gate: a hash tag, and connections to the server that holds its keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import redis
from redis.exceptions import MovedError, NoScriptError

from orchestrator.admission.connecting import connect
from orchestrator.admission.keys import hash_tag, key
from orchestrator.admission.scripts import Script
from orchestrator.admission.wire import Wire, pack, pack_head

#: How often a call follows the keys to another server of a cluster before it gives up.
MOST_MOVES = 3


class Shard:
    """Runs scripts on the keys of one hash tag.

    In a Redis Cluster all keys of a tag lie on one server. It is found by asking any: one that
    does not hold them says which does, and from then on the shard speaks to that one.
    """

    def __init__(self, url: str, name: str, timeout: float) -> None:
        self.name = name
        self.redis = connect(url, timeout)
        self._home = dict(self.redis.connection_pool.connection_kwargs)
        self._wire = Wire(self.redis)
        self._tag = hash_tag(name)
        self._scripts: dict[str, Script] = {}

    def close(self) -> None:
        """Close all connections."""
        self._wire.close()
        self.redis.close()

    def key(self, name: str, suffix: str = "") -> str:
        """The full name of a key of this shard."""
        return key(self.name, name, suffix)

    def call(self, script: Script, calls: Sequence[list[object]]) -> list[Any]:
        """A script, once for each list of arguments, in one round trip."""
        mine = self._scripts.get(script.name)
        if mine is None:
            mine = self._scripts[script.name] = script.on(self.name)
        replies: list[Any] = self._where_it_is(lambda: self._evaluate(mine, calls))
        return replies

    def ask(self, command: str, *arguments: Any) -> Any:
        """A plain command, by the name of the client's method."""
        return self._where_it_is(lambda: getattr(self.redis, command)(*arguments))

    def _where_it_is(self, action: Callable[[], Any]) -> Any:
        for _ in range(MOST_MOVES):
            try:
                return action()
            except MovedError as error:
                self._speak_to({"host": error.host, "port": error.port})
            except redis.TimeoutError:
                self._drop_idle()
                raise
            except redis.ConnectionError:
                if not self._has_moved:
                    self._drop_idle()
                    raise
                # The server that was pointed at is gone; the one of the URL knows the new one.
                self._speak_to(self._home)
        return action()

    def _evaluate(self, script: Script, calls: Sequence[list[object]]) -> list[Any]:
        head = pack_head("EVALSHA", script.sha, "1", self._tag)
        commands = [pack(head, 4, arguments) for arguments in calls]
        try:
            return self._wire.call_many(commands)
        except NoScriptError:
            self.redis.script_load(script.source)
            return self._wire.call_many(commands)

    @property
    def _has_moved(self) -> bool:
        kwargs = self.redis.connection_pool.connection_kwargs
        return any(kwargs.get(name) != self._home.get(name) for name in ("host", "port"))

    def _speak_to(self, where: Mapping[str, Any]) -> None:
        """Use another server from now on, on all threads."""
        address = {name: where.get(name) for name in ("host", "port")}
        self.redis.connection_pool.connection_kwargs.update(address)
        self._drop_idle()

    def _drop_idle(self) -> None:
        """What ended one connection has mostly ended those that nobody uses now, each of which
        would cost its next user another wait."""
        self.redis.connection_pool.disconnect(inuse_connections=False)
        self._wire.close()
