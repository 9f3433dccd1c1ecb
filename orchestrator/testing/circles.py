"""Finds waits that would never end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from orchestrator.domain.waits import WaitNode, from_oldest


@dataclass(frozen=True)
class Need:
    """What somebody waits for: so many of these instances have to go on."""

    targets: tuple[str, ...]
    needs: int
    #: the lock that is waited for, which the one target holds
    lock: str = ""


def circle(
    waiter: str, need: Need, need_of: Callable[[str], Need | None], agent_of: Callable[[str], str]
) -> tuple[WaitNode, ...]:
    """Who waits for whom, if this wait would never end; else nothing.

    `need_of` answers None for those who can go on.
    """
    needs = {waiter: need}
    ahead = list(need.targets)
    while ahead:
        one = ahead.pop()
        found = None if one in needs else need_of(one)
        if found is not None:
            needs[one] = found
            ahead.extend(found.targets)
    stuck = _reduced(needs)
    if waiter not in stuck:
        return ()
    return from_oldest(_walk(waiter, needs, stuck, agent_of))


def _reduced(needs: dict[str, Need]) -> set[str]:
    """Those that nobody can ever help to go on."""
    stuck = set(needs)
    while free := [one for one in stuck if _can_go_on(needs[one], stuck)]:
        stuck.difference_update(free)
    return stuck


def _can_go_on(need: Need, stuck: set[str]) -> bool:
    return sum(one not in stuck for one in need.targets) >= need.needs


def _walk(
    waiter: str, needs: dict[str, Need], stuck: set[str], agent_of: Callable[[str], str]
) -> Sequence[WaitNode]:
    """Go from one to the next that is stuck, until somebody comes again."""
    path = [waiter]
    while True:
        need = needs[path[-1]]
        following = [one for one in need.targets if one in stuck]
        after = waiter if waiter in following else following[0]
        if after in path:
            path = path[path.index(after) :]
            break
        path.append(after)
    nodes: list[WaitNode] = []
    for one in path:
        nodes.append(WaitNode(one, agent_of(one)))
        if needs[one].lock:
            nodes.append(WaitNode(needs[one].lock, kind="lock"))
    return nodes
