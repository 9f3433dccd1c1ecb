"""What shards lend each other must never be more than the limit, nor be lost."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from orchestrator import bootstrap
from orchestrator.agents.registry import REGISTRY
from orchestrator.config.settings import Settings
from orchestrator.domain.errors import StoreUnavailable
from orchestrator.domain.instance import SpawnRequest
from orchestrator.domain.limits import Limits
from orchestrator.engine import balance, limits, rebuild
from orchestrator.engine.deps import Deps
from orchestrator.engine.pause import pause, resume
from orchestrator.engine.spawn import spawn
from orchestrator.store.credits import Ledger

#: A tenant of each of two shards.
ONE, OTHER = "a", "d"
LIMIT = 10


@pytest.fixture
def deps(settings: Settings) -> Iterator[Deps]:
    few = settings.model_copy(
        update={
            "gate_shards": 2,
            "limits": Limits(global_concurrency=LIMIT, session_concurrency=99),
        }
    )
    deps = bootstrap.build(few, specs=REGISTRY.specs())
    rebuild.run_once(deps)
    deps.gate.heartbeat("worker", "default", 200, [])
    assert deps.gate.shard_of(ONE) != deps.gate.shard_of(OTHER)
    yield deps
    bootstrap.close(deps)


def parts(deps: Deps) -> list[int]:
    """What each shard has of the limit, that of `ONE` first."""
    loads = deps.gate.loads("global")
    return [loads[deps.gate.shard_of(tenant)].limit for tenant in (ONE, OTHER)]


def add(deps: Deps, tenant: str, count: int) -> list[str]:
    return [
        spawn(deps, SpawnRequest("echo", session=f"session of {tenant}", tenant=tenant))
        for _ in range(count)
    ]


def settle_down(deps: Deps) -> None:
    """Rounds until nothing moves any more."""
    while balance.run_once(deps).moved:
        pass


def test_each_shard_begins_with_its_part(deps: Deps) -> None:
    assert parts(deps) == [5, 5]
    assert deps.gate.bounds().fields["global"] == "10"


def test_a_tenant_alone_can_use_the_whole_limit(deps: Deps) -> None:
    add(deps, ONE, 20)
    assert deps.gate.held() == 5
    settle_down(deps)
    assert (deps.gate.held(), parts(deps)) == (10, [10, 0])


def test_what_was_lent_comes_back_when_it_is_wanted(deps: Deps) -> None:
    mine = add(deps, ONE, 10)
    settle_down(deps)
    add(deps, OTHER, 10)
    for one in mine:
        deps.gate.release(one, 1)
    settle_down(deps)
    assert (deps.gate.held(), parts(deps)) == (10, [0, 10])


def test_what_is_in_use_is_not_lent(deps: Deps) -> None:
    add(deps, OTHER, 4)
    add(deps, ONE, 20)
    settle_down(deps)
    assert (deps.gate.held(), parts(deps)) == (10, [6, 4])


def test_both_full_and_waiting_change_nothing(deps: Deps) -> None:
    add(deps, ONE, 20)
    add(deps, OTHER, 20)
    assert balance.run_once(deps).moved == 0
    assert parts(deps) == [5, 5]


def come_and_go(deps: Deps, tenant: str) -> None:
    for _ in range(25):
        for one in add(deps, tenant, 3):
            deps.gate.release(one, 1)


def held_at_once(deps: Deps) -> int:
    """All slots of both shards in one look; they are in one Redis here."""
    with deps.gate.redis.pipeline(transaction=True) as look:
        for shard in deps.gate.shards:
            look.zcard(shard.key("leases"))
        return sum(look.execute())


def test_never_more_than_the_limit_while_all_spawn_and_balance(deps: Deps) -> None:
    """Tenants of both shards come and go on six threads while two beats balance."""
    add(deps, ONE, 8)  # who stay: more than the part of their shard
    over, moved, seen = threading.Event(), [], []

    def until_over(action: Callable[[], None]) -> None:
        while not over.is_set():
            action()

    balancers = [lambda: moved.append(balance.run_once(deps).moved)] * 2
    others = [
        threading.Thread(target=until_over, args=(action,))
        for action in (*balancers, lambda: seen.append(held_at_once(deps)))
    ]
    spawners = [
        threading.Thread(target=come_and_go, args=(deps, tenant)) for tenant in (ONE, OTHER) * 3
    ]
    for thread in (*others, *spawners):
        thread.start()
    for thread in spawners:
        thread.join(60)
    over.set()
    for thread in others:
        thread.join(60)
    assert max(seen) <= LIMIT
    assert sum(moved) > 0, "something was lent meanwhile"
    settle_down(deps)
    assert sum(parts(deps)) == LIMIT


def test_a_beat_that_dies_before_the_record_lends_nothing(
    deps: Deps, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(deps, ONE, 20)

    def die(*_: object) -> None:
        raise StoreUnavailable("GONE", "as asked")

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "move", die)
        with pytest.raises(StoreUnavailable):
            balance.run_once(deps)
    assert sum(parts(deps)) < LIMIT, "taken from the lender, given to nobody"
    settle_down(deps)
    assert parts(deps) == [10, 0]


def test_a_beat_that_dies_after_the_record_has_lent(
    deps: Deps, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(deps, ONE, 20)
    first_write = balance._write

    def die(deps: Deps, ledger: Ledger) -> None:
        if any(ledger.of_shards().values()):
            raise StoreUnavailable("GONE", "as asked")
        first_write(deps, ledger)

    with monkeypatch.context() as patch:
        patch.setattr(balance, "_write", die)
        with pytest.raises(StoreUnavailable):
            balance.run_once(deps)
    assert sum(parts(deps)) < LIMIT
    balance.run_once(deps)
    assert sum(parts(deps)) == LIMIT


def test_one_that_was_left_behind_changes_nothing_any_more(deps: Deps) -> None:
    with deps.store.credits.alone() as ledger:
        late = ledger.version
    add(deps, ONE, 20)
    settle_down(deps)
    for shard in range(2):
        assert not deps.gate.set_credits(shard, late, {"global": 100})
        assert deps.gate.cede(shard, late, "global", 100) == 0
    assert parts(deps) == [10, 0]


@pytest.mark.parametrize("tenant", [ONE, OTHER])
def test_a_lost_shard_knows_its_loans_again(deps: Deps, tenant: str) -> None:
    add(deps, ONE, 20)
    settle_down(deps)
    lost = deps.gate.shards[deps.gate.shard_of(tenant)]
    for name in lost.redis.scan_iter("{" + lost.name + "}*"):
        lost.redis.delete(name)
    deps.gate.heartbeat("worker", "default", 200, [])
    assert parts(deps) == [10, 0]


def test_operators_set_the_whole_and_loans_stand(deps: Deps) -> None:
    add(deps, ONE, 20)
    settle_down(deps)
    limits.set_limit(deps, "global", 14)
    assert parts(deps) == [12, 2]
    limits.set_limit(deps, "global", 4)
    assert parts(deps) == [7, 0]  # drains; never more than the whole together once it has
    limits.unset_limit(deps, "global")
    assert parts(deps) == [10, 0]


def test_a_pause_holds_whatever_was_lent(deps: Deps) -> None:
    add(deps, ONE, 20)
    settle_down(deps)
    assert parts(deps) == [10, 0]
    pause(deps, "global")
    for _ in range(3):
        assert parts(deps) == [0, 0]
        balance.run_once(deps)
    resume(deps, "global")
    assert parts(deps) == [10, 0]


def test_a_lender_keeps_what_came_into_use_since_the_look(deps: Deps) -> None:
    add(deps, OTHER, 3)
    lender = deps.gate.shard_of(OTHER)
    with deps.store.credits.alone() as ledger:
        assert deps.gate.cede(lender, ledger.version, "global", 100) == 2
        assert deps.gate.cede(lender, ledger.version, "global", 100) == 0
    assert parts(deps)[1] == 3
