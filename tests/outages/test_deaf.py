"""Those that listen notice that nothing can be heard any more, and listen again."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import psycopg
import pytest
import redis

from orchestrator.devstack import EmbeddedServers
from orchestrator.store import listen
from orchestrator.store.listen import notifications
from orchestrator.store.store import SPAWNED
from orchestrator.transport.notify import Notifier
from tests.support.proxy import Proxy
from tests.support.waiting import wait_until


@pytest.fixture
def notifier(servers: EmbeddedServers, redis_proxy: Proxy) -> Iterator[Notifier]:
    """Listens through the network, with pings so frequent that a test can wait for two."""
    client = redis.Redis.from_url(
        redis_proxy.through(servers.redis_url),
        decode_responses=True,
        socket_timeout=1.0,
        socket_connect_timeout=1.0,
        health_check_interval=1,
    )
    notifier = Notifier(client)
    yield notifier
    notifier.close()
    client.close()


def test_a_subscription_that_died_without_a_word_is_made_again(
    notifier: Notifier, servers: EmbeddedServers, redis_proxy: Proxy
) -> None:
    heard: list[str] = []
    with (
        redis.Redis.from_url(servers.redis_url) as client,
        notifier.listen(["news"], heard.append),
    ):

        def told(text: str) -> bool:
            client.publish("news", text)
            return text in heard

        wait_until(lambda: told("before"), "it hears")
        redis_proxy.freeze()
        redis_proxy.heal()  # what was frozen stays dead
        wait_until(lambda: told("after"), "it hears again")


def test_so_is_a_listener_for_commits(
    database_url: str, database_proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listen, "PATIENCE", 0.05)
    monkeypatch.setattr(listen, "SILENCE", 0.5)
    heard: list[str] = []
    closed = threading.Event()

    def hear() -> None:
        heard.extend(notifications(database_proxy.through(database_url), SPAWNED, closed))

    thread = threading.Thread(target=hear)
    thread.start()
    try:
        with psycopg.connect(database_url, autocommit=True) as sql:

            def told(text: str) -> bool:
                sql.execute("SELECT pg_notify(%s, %s)", (SPAWNED, text))
                return text in heard

            wait_until(lambda: told("before"), "it hears")
            database_proxy.freeze()
            database_proxy.heal()
            wait_until(lambda: told("after"), "it hears again")
    finally:
        closed.set()
        thread.join()
