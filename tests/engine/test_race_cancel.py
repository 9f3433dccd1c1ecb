"""No child can slip through a cancellation in progress (R5)."""

from __future__ import annotations

import threading
from collections.abc import Callable

from orchestrator.domain.lifecycle import State
from orchestrator.engine.cancel import cancel
from orchestrator.engine.deps import Deps
from orchestrator.store.store import Ending
from tests.support.make import parent_of, spawn_of

SPAWNERS = 4
ROUNDS = 12


def begun_root(deps: Deps) -> str:
    new = spawn_of(session="race", tenant="race")
    assert deps.store.record(new)
    assert deps.store.begin(new.id, 1, "worker")
    return new.id


def grow(deps: Deps, root: str, number: int, stop: threading.Event, made: list[str]) -> None:
    """Record children and grandchildren below the root until refused."""
    position = number * 1_000_000
    while not stop.is_set():
        parent = deps.store.get(root)
        assert parent is not None
        child = spawn_of(parent_of(parent, position))
        if not deps.store.record(child):
            return
        made.append(child.id)
        begun = deps.store.begin(child.id, 1, "worker")
        if begun is not None:
            grandchild = spawn_of(parent_of(begun, 0))
            if deps.store.record(grandchild):
                made.append(grandchild.id)
        position += 1


def cancel_into(deps: Deps, instance_id: str, ended: list[str]) -> None:
    ended.extend(cancel(deps, instance_id).cancelled)


def race(deps: Deps, end: Callable[[str], object]) -> None:
    """End the root while several threads spawn below it; nothing live may be left."""
    root = begun_root(deps)
    stop = threading.Event()
    made: list[list[str]] = [[] for _ in range(SPAWNERS)]
    threads = [
        threading.Thread(target=grow, args=(deps, root, n, stop, made[n])) for n in range(SPAWNERS)
    ]
    for thread in threads:
        thread.start()
    while not all(len(mine) > 2 for mine in made):
        pass  # every spawner is at it
    end(root)
    for thread in threads:
        thread.join(timeout=20)
        assert not thread.is_alive(), "a spawner was not refused"
    everyone = deps.store.get_many([root, *(one for mine in made for one in mine)])
    assert len(everyone) == 1 + sum(map(len, made))
    assert [one for one in everyone.values() if not one.state.is_terminal] == []


def test_cancelling_a_tree_that_is_being_spawned(deps: Deps) -> None:
    for _ in range(ROUNDS):
        race(deps, lambda root: cancel(deps, root))


def test_completing_a_parent_that_is_still_spawning(deps: Deps) -> None:
    for _ in range(ROUNDS):
        race(deps, lambda root: deps.store.settle(root, 1, Ending(State.COMPLETED, result="1")))


def test_two_cancellations_of_overlapping_trees(deps: Deps) -> None:
    """They may meet on the same rows; neither may fail, and each row ends once."""
    for _ in range(ROUNDS):
        root = begun_root(deps)
        parent = deps.store.get(root)
        assert parent is not None
        children = [spawn_of(parent_of(parent, position)) for position in range(20)]
        for child in children:
            assert deps.store.record(child)
        ended: list[str] = []
        targets = [root, *(child.id for child in children)]
        threads = [threading.Thread(target=cancel_into, args=(deps, one, ended)) for one in targets]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=20)
        assert sorted(ended) == sorted(targets)


def test_a_parent_that_was_cancelled_is_refused_children(deps: Deps) -> None:
    root = begun_root(deps)
    parent = deps.store.get(root)
    assert parent is not None
    cancel(deps, root)
    assert not deps.store.record(spawn_of(parent_of(parent)))
    assert deps.store.subtree(root)[0].state is State.CANCELLED
