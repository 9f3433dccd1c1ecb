"""About how many start before one that waits: tenants first, then their sessions, by weight."""

from __future__ import annotations

from orchestrator.domain.forecast import Flow, ahead_of

MINE = Flow("me", "s", 0, 10)


def test_alone() -> None:
    assert ahead_of(MINE, 0, []) == 0
    assert ahead_of(MINE, 7, []) == 7


def test_a_tenant_with_much_work_delays_by_its_share_only() -> None:
    busy = Flow("busy", "s", 0, 1_000)
    assert ahead_of(MINE, 0, [busy]) == 0
    assert ahead_of(MINE, 5, [busy]) == 10


def test_many_sessions_of_another_tenant_count_as_one() -> None:
    busy = [Flow("busy", f"s{number}", 0, 1) for number in range(100)]
    assert ahead_of(MINE, 5, busy) == 10


def test_sessions_of_the_same_tenant_share() -> None:
    sister = Flow("me", "t", 0, 100)
    assert ahead_of(MINE, 5, [sister]) == 10
    assert ahead_of(MINE, 5, [sister, Flow("you", "t", 0, 100)]) == 20


def test_weights() -> None:
    assert ahead_of(MINE, 5, [Flow("heavy", "s", 0, 100, tenant_weight=4.0)]) == 25
    assert ahead_of(MINE, 4, [Flow("light", "s", 0, 100, tenant_weight=0.25)]) == 5
    assert ahead_of(MINE, 5, [Flow("me", "t", 0, 100, weight=2.0)]) == 15


def test_more_urgent_ones_all_go_first() -> None:
    mine = Flow("me", "s", 3, 10)
    assert ahead_of(mine, 3, [Flow("you", "s", 50, 0)]) == 53
    assert ahead_of(mine, 4, [Flow("you", "s", 50, 9)]) == 55


def test_who_stands_before_goes_before() -> None:
    assert ahead_of(MINE, 0, [Flow("you", "s", 0, 9, tenant_is_before=True)]) == 1
    assert ahead_of(MINE, 0, [Flow("me", "t", 0, 9, is_before=True)]) == 1
    assert ahead_of(MINE, 0, [Flow("you", "s", 0, 0, tenant_is_before=True)]) == 0
