"""Danger: a client vanishes in the middle of a transaction, and its locks stay for hours."""

from __future__ import annotations

from contextlib import closing, suppress

from orchestrator.domain.errors import StoreUnavailable
from orchestrator.store.database import Database
from tests.support.proxy import Proxy
from tests.support.waiting import wait_until


def test_what_it_has_locked_is_free_soon(database_url: str) -> None:
    """Given one that holds a lock when its network freezes; others get it when it is given up."""
    with (
        Proxy(database_url) as network,
        closing(Database(network.through(database_url), statement_timeout=1.0)) as cut_off,
        closing(Database(database_url)) as others,
    ):
        locked = "SELECT pg_try_advisory_xact_lock(7) AS done"
        with suppress(StoreUnavailable), cut_off.transaction() as connection:
            row = connection.execute(locked).fetchone()
            assert row == {"done": True}
            network.freeze()

            assert others.row(locked) == {"done": False}
            wait_until(lambda: others.row(locked) == {"done": True}, "the lock is free")
