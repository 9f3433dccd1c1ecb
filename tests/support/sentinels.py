"""A primary, a replica and three sentinels on loopback, for tests."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from orchestrator.devstack.files import write_private
from orchestrator.devstack.ports import LOOPBACK
from orchestrator.devstack.process import Command
from orchestrator.devstack.valkey import ValkeyServer
from tests.support.waiting import wait_until

NAME = "the-gate"


class Member(ValkeyServer):
    """A server that may be the primary, and follows another one if told of it."""

    follows: int | None = None

    def _settings(self) -> str:
        followed = f"replicaof {LOOPBACK} {self.follows}\n" if self.follows else ""
        return super()._settings() + "masterauth secret\nrepl-diskless-sync-delay 0\n" + followed


class Watcher(ValkeyServer):
    """A sentinel."""

    watched: int

    @property
    def url(self) -> str:
        return f"redis://{LOOPBACK}:{self.port}/0"

    def _settings(self) -> str:
        return (
            f"bind {LOOPBACK}\nport {self.port}\ndir {self.folder}\n"
            f"sentinel monitor {NAME} {LOOPBACK} {self.watched} 2\n"
            f"sentinel auth-pass {NAME} secret\n"
            f"sentinel down-after-milliseconds {NAME} 1000\n"
            f"sentinel failover-timeout {NAME} 5000\n"
        )

    def _command(self) -> Command:
        settings = self.folder / "server.conf"
        write_private(settings, self._settings())
        return Command(
            name=self.name,
            argv=(str(self._program), str(settings), "--sentinel"),
            log=self._log,
            folder=self.folder,
        )


@dataclass
class Watched:
    """All of them."""

    url: str
    primary: Member
    replica: Member


@contextmanager
def watched(folder: Path) -> Iterator[Watched]:
    """A pair of servers, once the sentinels know both and each other."""
    with ExitStack() as stack:

        def start(server: ValkeyServer) -> None:
            server.start()
            stack.callback(server.stop)

        primary = Member(folder / "primary", "secret", folder / "primary.log", durable=False)
        start(primary)
        replica = Member(folder / "replica", "secret", folder / "replica.log", durable=False)
        replica.follows = primary.port
        start(replica)
        sentinels = []
        for number in range(3):
            one = Watcher(folder / f"s{number}", "", folder / f"s{number}.log", durable=False)
            one.watched = primary.port
            start(one)
            sentinels.append(one)
        for one in sentinels:
            client = stack.enter_context(redis.Redis.from_url(one.url, decode_responses=True))
            wait_until(functools.partial(_sees_all, client), "a sentinel sees all", 60.0)
        hosts = ",".join(f"{LOOPBACK}:{one.port}" for one in sentinels)
        yield Watched(f"redis+sentinel://:secret@{hosts}/{NAME}/0", primary, replica)


def _sees_all(client: redis.Redis) -> bool:
    seen: Any = client.sentinel_master(NAME)
    return bool(seen["num-slaves"] == 1 and seen["num-other-sentinels"] == 2)
