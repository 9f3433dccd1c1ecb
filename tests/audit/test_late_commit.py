"""Danger: an event appears among sealed ones, because its transaction was slow; a false alarm."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.rows import dict_row

from orchestrator.engine import audit, seal
from orchestrator.engine.deps import Deps
from orchestrator.store.recording import record_values
from orchestrator.store.sealer import Plain
from orchestrator.store.statements import statement
from tests.audit.conftest import live
from tests.support.make import spawn_of


def slow(database_url: str, session: str = "slow") -> psycopg.Connection[dict[str, Any]]:
    """A transaction that has taken a number for its event, and does not commit yet."""
    connection = psycopg.connect(database_url, row_factory=dict_row)
    connection.execute(statement("record_root"), record_values(spawn_of(session=session), Plain()))
    return connection


def test_what_may_still_be_preceded_is_not_sealed(deps: Deps, database_url: str) -> None:
    with slow(database_url) as connection:
        live(deps.store, "quick")
        assert seal.run_once(deps).sealed == 0
        assert seal.run_once(deps).sealed == 0
        connection.commit()
    # What came after the mark was set waits for the next round.
    assert sum(seal.run_once(deps).sealed for _ in range(2)) == 3
    found = audit.verify(deps)
    assert (found.findings, found.events, found.unsealed) == ((), 3, 0)


def test_others_under_way_later_hold_nothing_up(deps: Deps, database_url: str) -> None:
    with slow(database_url) as first:
        assert seal.run_once(deps).sealed == 0  # the mark is set here
        with slow(database_url, "other") as second:
            first.commit()
            assert seal.run_once(deps).sealed == 1
            second.commit()
    assert seal.run_once(deps).sealed == 1
    assert audit.verify(deps).is_intact


def test_a_number_that_was_given_back_leaves_a_gap_only(deps: Deps, database_url: str) -> None:
    with slow(database_url) as connection:
        live(deps.store, "quick")
        connection.rollback()
    assert seal.run_once(deps).sealed == 2
    assert audit.verify(deps).is_intact


def test_sealing_at_the_same_time_is_done_once(
    deps: Deps, database_url: str, sql: psycopg.Connection
) -> None:
    live(deps.store, "a")
    with psycopg.connect(database_url, row_factory=dict_row) as other:
        assert other.execute(statement("lock_seals")).fetchone() == {"got": True}
        assert seal.run_once(deps).sealed == 0
    assert seal.run_once(deps).sealed == 2


def test_a_full_round_is_followed_by_another(deps: Deps) -> None:
    for _ in range(3):
        live(deps.store, "a")
    seals, more = deps.store.audit.seal(4, seal.make_seals)
    assert ([one.events for one in seals], more) == ([4], True)
    assert seal.run_once(deps).sealed == 2
    assert audit.verify(deps).is_intact
