"""Limits change while everything runs: at once, for everybody, and for good."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from orchestrator import bootstrap
from orchestrator.admission.gate import Gate
from orchestrator.config.settings import Settings
from orchestrator.devstack.ports import free_port
from orchestrator.domain.errors import SpawnRefused, StoreUnavailable
from orchestrator.domain.limits import Limits, LimitState
from orchestrator.engine import limits, rebuild, survey
from orchestrator.engine.deps import Deps
from orchestrator.engine.what_if import what_if
from tests.engine.bench import Bench


@contextmanager
def another_process(settings: Settings, **limits: int) -> Iterator[Deps]:
    """A process that has just started, with limits of its own in its settings."""
    wish = settings.model_copy(update={"limits": replace(Limits(), **limits)})
    deps = bootstrap.build(wish)
    yield deps
    bootstrap.close(deps)


def shown(bench: Bench, scope: str) -> LimitState:
    [found] = [one for one in survey.limit_states(bench.deps) if one.scope == scope]
    return found


def refused(bench: Bench, **fields: Any) -> SpawnRefused:
    with pytest.raises(SpawnRefused) as caught:
        bench.spawn(on_limit="refuse", **fields)
    return caught.value


def test_a_lowered_limit_drains_and_a_raised_one_wakes(bench: Bench) -> None:
    # Given three that run and three that wait behind a limit of one more
    limits.set_limit(bench.deps, "tenant", 3)
    first = [bench.spawn(session=f"s{number}") for number in range(3)]
    waiting = [bench.spawn(session=f"w{number}") for number in range(3)]
    assert bench.places(*first, *waiting) == ["dispatched"] * 3 + ["queued"] * 3
    # When it is lowered below what runs, nothing is stopped and nobody starts
    limits.set_limit(bench.deps, "tenant", 1)
    assert bench.places(*first) == ["dispatched"] * 3
    assert refused(bench).limit == 1
    bench.execute(first[0])
    bench.execute(first[1])
    assert bench.places(*waiting) == ["queued"] * 3
    # ... until enough have ended
    bench.execute(first[2])
    assert bench.places(*waiting) == ["dispatched", "queued", "queued"]
    # When it is raised, those who wait start with that very call
    limits.set_limit(bench.deps, "tenant", 3)
    assert bench.places(*waiting) == ["dispatched"] * 3


def test_zero_pauses(bench: Bench) -> None:
    limits.set_limit(bench.deps, "global", 0)
    one = bench.spawn()
    assert bench.places(one) == ["queued"]
    limits.unset_limit(bench.deps, "global")
    assert bench.places(one) == ["dispatched"]


def test_a_process_that_starts_with_other_settings_undoes_nothing(
    bench: Bench, wide: Settings
) -> None:
    limits.set_limit(bench.deps, "tenant", 2)
    with another_process(wide, tenant_concurrency=7, session_concurrency=8) as other:
        rebuild.reconfigure(other)
        assert shown(bench, "tenant").in_force == 2
        assert shown(bench, "tenant").setting == 7
        # What no operator has set is as the newest process says.
        assert shown(bench, "session").in_force == 8
        # And the settings hold again, not those of the process that takes the limit back.
        limits.unset_limit(bench.deps, "tenant")
        assert shown(bench, "tenant").in_force == 7


def test_an_emptied_redis_changes_nothing(bench: Bench) -> None:
    limits.set_limit(bench.deps, "tenant", 2)
    limits.set_limit(bench.deps, "session:acme/s1", 1)
    limits.set_limit(bench.deps, "weight:tenant:acme", 2.5)
    before = [one.to_dict() for one in survey.limit_states(bench.deps)]
    bench.deps.gate.redis.flushall()
    bench.deps.gate.pump()
    assert [one.to_dict() for one in survey.limit_states(bench.deps)] == before
    assert not limits.follow(bench.deps)


def test_the_older_of_two_changes_does_not_win_by_coming_late(bench: Bench) -> None:
    limits.set_limit(bench.deps, "tenant", 2)
    old = bench.deps.store.limits.newest()
    limits.set_limit(bench.deps, "tenant", 3)
    assert bench.deps.gate.apply_limits(old.version, old.in_force(), 0) == old.version + 1
    assert shown(bench, "tenant").in_force == 3


@pytest.mark.parametrize("lost", ["apply_limits", "refresh_flows", "note_woken"])
def test_a_process_that_dies_half_way_is_followed_up(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    limits.set_limit(bench.deps, "tenant", 1)
    one, two = bench.spawn(), bench.spawn()
    assert bench.places(one, two) == ["dispatched", "queued"]

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Gate, lost, die)
        with pytest.raises(KeyboardInterrupt):
            limits.set_limit(bench.deps, "tenant", 2)
    assert limits.run_once(bench.deps).adopted == 1
    assert bench.places(one, two) == ["dispatched", "dispatched"]
    assert limits.run_once(bench.deps).adopted == 0


def test_redis_away_loses_nothing(bench: Bench, wide: Settings) -> None:
    away = wide.model_copy(update={"redis_url": f"redis://127.0.0.1:{free_port()}/0"})
    other = bootstrap.build(away)
    change = limits.set_limit(other, "tenant", 5, "me")
    bootstrap.close(other)
    assert not change.in_force
    assert limits.follow(bench.deps)
    assert shown(bench, "tenant").in_force == 5
    assert shown(bench, "tenant").set_by == "me"


def test_a_change_tells_what_was_before(bench: Bench) -> None:
    first = limits.set_limit(bench.deps, "tenant:acme", 5)
    second = limits.set_limit(bench.deps, "tenant:acme", 6)
    third = limits.unset_limit(bench.deps, "tenant:acme")
    fourth = limits.unset_limit(bench.deps, "tenant:acme")
    assert [(one.before, one.value) for one in (first, second, third, fourth)] == [
        (None, 5),
        (5, 6),
        (6, None),
        (None, None),
    ]
    assert first.version < second.version < third.version == fourth.version


def test_what_was_set_is_never_rewritten(bench: Bench, sql: psycopg.Connection) -> None:
    limits.set_limit(bench.deps, "tenant:acme", 5)
    for statement in (b"UPDATE limits SET value = 9", b"DELETE FROM limits"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            sql.execute(statement)


def test_what_is_in_use_is_told(bench: Bench) -> None:
    limits.set_limit(bench.deps, "tenant:acme", 5)
    for number in range(3):
        bench.spawn(tenant="acme", session="busy" if number else "calm")
    bench.spawn(tenant="other", session="s", pool="gpu")
    assert shown(bench, "global").used == 3
    assert (shown(bench, "tenant").used, shown(bench, "tenant").busiest) == (3, "acme")
    assert (shown(bench, "session").used, shown(bench, "session").busiest) == (2, "acme/busy")
    assert (shown(bench, "agent").used, shown(bench, "agent").in_force) == (3, None)
    assert (shown(bench, "tenant:acme").used, shown(bench, "tenant:acme").operator) == (3, 5)
    assert shown(bench, "global_queue").used == 1


def test_the_queue_is_told_by_pool_line_tenant_and_session(bench: Bench) -> None:
    bench.offer(2)
    limits.set_limit(bench.deps, "weight:tenant:acme", 4)
    parent = bench.begin(bench.spawn(tenant="acme", session="s"))
    bench.deps.store.park(parent.id, 1)
    bench.deps.gate.suspend(parent.id, 1, "bench")
    for _ in range(4):
        bench.spawn(tenant="acme", session="s")
    state = survey.queue_state(bench.deps)
    [pool], [tenant], [session] = state.pools, state.tenants, state.sessions
    assert (pool.name, pool.running, pool.queued, pool.waiting, pool.offered) == (
        "default",
        2,
        2,
        1,
        2,
    )
    assert (tenant.name, tenant.weight, session.name) == ("acme", 4, "acme/s")
    assert [(line.name, line.running + line.queued) for line in state.lines] == [("default/add", 4)]
    assert state.total.queued == 2


def test_postgresql_away_changes_nothing(bench: Bench, wide: Settings) -> None:
    away = f"postgresql://u:p@127.0.0.1:{free_port()}/x"
    other = bootstrap.build(wide.model_copy(update={"database_url": away}))
    before = bench.deps.gate.bounds()
    with pytest.raises(StoreUnavailable):
        limits.set_limit(other, "tenant", 5)
    bootstrap.close(other)
    assert bench.deps.gate.bounds() == before


def test_what_a_change_would_do_is_what_it_does(bench: Bench) -> None:
    limits.set_limit(bench.deps, "tenant", 2)
    ids = [bench.spawn(session=f"s{number % 3}") for number in range(8)]
    for value, scope in ((5, "tenant"), (1, "tenant:default"), (7, "tenant:default")):
        before = bench.places(*ids).count("dispatched")
        told = what_if(bench.deps, scope, value)
        assert bench.places(*ids).count("dispatched") == before
        assert (told.used, told.waiting) == (before, 8 - before)
        limits.set_limit(bench.deps, scope, value)
        assert told.would_start == bench.places(*ids).count("dispatched") - before
        assert told.would_drain == max(0, before - value)


def test_what_workers_offer_bounds_what_a_change_would_do(bench: Bench) -> None:
    bench.offer(3)
    limits.set_limit(bench.deps, "session:default/s", 1)
    for _ in range(6):
        bench.spawn(session="s")
    assert what_if(bench.deps, "session:default/s", 6).would_start == 2
    assert what_if(bench.deps, "session", 6).would_start == 0
