"""Reading: filters, pages, counts, and values that come back as they went in."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings

from orchestrator.domain import payload
from orchestrator.domain.ids import new_id
from orchestrator.domain.instance import AgentSpec
from orchestrator.domain.lifecycle import LIVE, STORED, State
from orchestrator.domain.priority import Priority
from orchestrator.domain.retry import RetryPolicy
from orchestrator.store.rows import to_trees
from orchestrator.store.store import BEFORE_ALL, Standing, Store
from tests.store.life import ATTEMPT, begun, child, found, root, row_in
from tests.support.make import spawn_of
from tests.unit.test_unstorable_values import storable


def test_a_row_gives_back_what_was_recorded(store: Store) -> None:
    new = spawn_of(
        agent="a.b/c",
        session="s 漢",
        tenant="t {x}",
        pool="gpu",
        priority=Priority.LOW,
        args='{"url": "x"}',
        timeout_seconds=1.5,
        retry=RetryPolicy(7, 0.5, 9.0, ("ValueError",)),
        idempotency_key="k",
    )
    store.record(new)
    one = found(store, new.id)
    for field in ("id", "agent", "session", "tenant", "pool", "priority", "depth", "root_id"):
        assert getattr(one, field) == getattr(new, field), field
    assert (one.args, one.timeout_seconds, one.retry) == ({"url": "x"}, 1.5, new.retry)
    assert (one.state, one.attempt, one.failures, one.parent_id) == (State.QUEUED, 0, 0, None)
    assert one.created_at.tzinfo is not None
    assert abs(datetime.now(UTC) - one.created_at) < timedelta(minutes=1)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(value=storable)
def test_arguments_come_back_as_they_went_in(store: Store, value: Any) -> None:
    args = {"value": value}
    new = spawn_of(args=payload.encode(args, name="args", max_bytes=10**9))
    store.record(new)
    # As text, because 1000.0 == 1000 == True + 999 for Python, but not for a JSON reader.
    assert json.dumps(found(store, new.id).args) == json.dumps(args)


@pytest.mark.parametrize("number", [1e16, 1e22, 1e23, 1.7976931348623157e308, 5e-324, -0.0])
def test_numbers_far_from_one_come_back(store: Store, number: float) -> None:
    new = spawn_of(args=json.dumps({"n": number}))
    store.record(new)
    assert json.dumps(found(store, new.id).args) == json.dumps({"n": number})


@pytest.fixture
def mixed(store: Store, sql: psycopg.Connection) -> dict[State, str]:
    """One row in each state."""
    return {state: row_in(store, sql, state) for state in STORED}


def test_each_filter_filters(store: Store, mixed: dict[State, str]) -> None:
    for state, one in mixed.items():
        assert [found.id for found in store.list(state=state)] == [one]
    other = root(store, session="s2", tenant="t2", agent="other")
    assert [one.id for one in store.list(session="s2")] == [other.id]
    assert [one.id for one in store.list(tenant="t2")] == [other.id]
    assert [one.id for one in store.list(agent="other")] == [other.id]
    assert store.list(agent="other", tenant="nobody") == []


def test_the_newest_come_first_and_no_more_than_asked(
    store: Store, mixed: dict[State, str]
) -> None:
    ids = [one.id for one in store.list()]
    assert ids == sorted(mixed.values(), reverse=True)
    assert [one.id for one in store.list(limit=2)] == ids[:2]


def test_pages_of_the_living_meet_each_once(store: Store, mixed: dict[State, str]) -> None:
    met: list[str] = []
    after = BEFORE_ALL
    while page := store.live_page(after, 2):
        assert len(page) <= 2
        met += [one.id for one in page]
        after = page[-1].id
    assert met == sorted(mixed[state] for state in LIVE)


def test_states_are_counted(store: Store, mixed: dict[State, str]) -> None:
    assert store.count_by_state() == dict.fromkeys(STORED, 1)
    assert store.count_by_state(session="nobody's") == {}


def test_standings_tell_state_and_attempt(store: Store, mixed: dict[State, str]) -> None:
    ids = [*mixed.values(), new_id()]
    assert store.standings(ids) == {one: Standing(s, ATTEMPT) for s, one in mixed.items()}
    assert store.standings([]) == {}


def test_many_are_got_at_once(store: Store, mixed: dict[State, str]) -> None:
    rows = store.get_many([*mixed.values(), new_id()])
    assert {one: row.state for one, row in rows.items()} == {o: s for s, o in mixed.items()}


def test_what_never_was_is_nothing(store: Store) -> None:
    assert store.get(new_id()) is None
    assert store.subtree(new_id()) == []
    assert store.events(new_id()) == []
    assert store.session_members("nobody's") == []


def test_a_session_is_read_as_trees(store: Store) -> None:
    top = begun(store, root(store, session="s"))
    kids = [begun(store, child(store, top, n)) for n in range(3)]
    leaf = child(store, kids[1])
    lone = root(store, session="s")
    first, second = to_trees(store.session_members("s"))
    assert (first.instance.id, second.instance.id) == (top.id, lone.id)
    assert [node.instance.id for node in first.children] == [one.id for one in kids]
    assert [node.instance.id for node in first.children[1].children] == [leaf.id]
    assert second.children == ()
    [part] = to_trees(store.subtree(kids[1].id))
    assert (part.instance.id, len(part.children)) == (kids[1].id, 1)


def test_orphans_are_the_tops_of_what_lives_below_the_ended(
    store: Store, sql: psycopg.Connection
) -> None:
    ended = row_in(store, sql, State.COMPLETED)
    tops = [row_in(store, sql, state, parent=ended) for state in LIVE]
    for top in tops:
        row_in(store, sql, State.RUNNING, parent=top)
    row_in(store, sql, State.FAILED, parent=ended)
    healthy = row_in(store, sql, State.RUNNING)
    row_in(store, sql, State.QUEUED, parent=healthy)
    assert store.orphans(100) == sorted(tops)
    assert store.orphans(2) == sorted(tops)[:2]


SPEC = AgentSpec("a", "gpu", 1.5, RetryPolicy(2, 1, 2, ("E",)), ("llm",), ("x", "y"), ("x",), True)


def test_agents_are_known_as_their_workers_recorded_them(store: Store) -> None:
    store.save_agents([SPEC, AgentSpec("b")])
    assert store.agents() == {"a": SPEC, "b": AgentSpec("b")}


def test_a_deploy_changes_what_is_known(store: Store, sql: psycopg.Connection) -> None:
    store.save_agents([SPEC])
    before = sql.execute("SELECT updated_at FROM agents").fetchone()
    store.save_agents([SPEC])
    assert sql.execute("SELECT updated_at FROM agents").fetchone() == before
    store.save_agents([AgentSpec("a", "cpu")])
    assert store.agents() == {"a": AgentSpec("a", "cpu")}
    assert sql.execute("SELECT updated_at FROM agents").fetchone() != before


def test_the_server_tells_what_the_doctor_asks(store: Store) -> None:
    server = store.server()
    assert server["version"].split(".")[0].isdigit()
    assert {server["fsync"], server["synchronous_commit"]} <= {"on", "off"}
    assert abs(datetime.now(UTC) - store.clock()) < timedelta(minutes=1)
