"""Who can never go on, by what the gate knows of who waits for whom."""

from __future__ import annotations

from tests.rules.gate_view import GateView


def starving(gate: GateView) -> frozenset[str]:
    """Those whose waits would never end if everybody else did all they can.

    The greatest set of waiting ones of which each lacks more than those outside of it can give:
    found by taking out whoever can go on until nobody else can. Waits that the gate has yet to look
    at are taken to go on.
    """
    stuck = {one for one in gate.waits if one not in gate.unchecked}
    while free := {one for one in stuck if _can_go_on(gate, one, stuck)}:
        stuck -= free
    return frozenset(stuck)


def _can_go_on(gate: GateView, one: str, stuck: set[str]) -> bool:
    wait = gate.waits[one]
    holders = (gate.holders.get(target, target) for target in wait.targets)
    return sum(holder not in stuck for holder in holders) >= wait.needs
