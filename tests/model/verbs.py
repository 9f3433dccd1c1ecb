"""The gate's scripts, as functions from what Redis holds to what it holds then.

Each follows the script of its name in `orchestrator/admission/lua`, with leases that run out by
an action of their own, and without what the model leaves out (see `docs/explanation/model.md`).
"""

from __future__ import annotations

from collections.abc import Iterable

from tests.model.state import CHILD, HELD, INSTANCES, PARENT, SLOTS, Gate, put


class Verbs:
    """The scripts; `broken` names mistakes that are to be made on purpose."""

    def __init__(self, broken: str = "") -> None:
        self.broken = broken

    # --- pieces -----------------------------------------------------------------------------

    def hand_out(self, gate: Gate, one: int) -> Gate:
        """lib/hand_out.lua: a slot, a new attempt and its message, in one step."""
        attempt = gate.attempt[one] + (
            self.broken != "requeue_same_attempt" or not gate.attempt[one]
        )
        return gate._replace(
            place=put(gate.place, one, "dispatched"),
            attempt=put(gate.attempt, one, attempt),
            slots=gate.slots | {one},
            messages=gate.messages | {(one, attempt)},
        )

    def pump(self, gate: Gate) -> Gate:
        """lib/pump.lua: those in line get what is free, who has run before first."""
        line = [one for one in INSTANCES if gate.place[one] == "queued"]
        for one in sorted(line, key=lambda one: gate.attempt[one] == 0):
            if len(gate.slots) < SLOTS:
                gate = self.hand_out(gate, one)
        return gate

    def leave(self, gate: Gate, one: int) -> Gate:
        """lib/drop.lua: from wherever it is; it waits for nothing any more."""
        edge = ("none", 0) if one == PARENT else gate.edge
        return gate._replace(
            place=put(gate.place, one, "none"), slots=gate.slots - {one}, edge=edge
        )

    def drop(self, gate: Gate, one: int) -> Gate:
        """lib/drop.lua: and it is forgotten."""
        gate = self.leave(gate, one)
        return gate._replace(
            attempt=put(gate.attempt, one, 0),
            stop=put(gate.stop, one, False),
            woken=0 if one == PARENT else gate.woken,
        )

    def park(self, gate: Gate, one: int) -> Gate:
        """lib/park.lua: in line."""
        return gate._replace(place=put(gate.place, one, "queued"))

    def rouse(self, gate: Gate) -> Gate:
        """lib/rouse.lua, lib/waits.lua: the parent that is asleep goes back in line."""
        return self.park(gate._replace(edge=("none", 0)), PARENT)

    def tell_end(self, gate: Gate, one: int) -> Gate:
        """lib/ends.lua: whoever waits for it does so no more."""
        if one != CHILD or gate.edge[0] != "waits" or self.broken == "end_not_told":
            return gate
        if gate.place[PARENT] == "suspended":
            return self.rouse(gate)
        return gate._replace(edge=("over", gate.edge[1]))

    # --- spawning ---------------------------------------------------------------------------

    def check_in(self, gate: Gate, one: int) -> Gate:
        """check_in.lua: a slot where there is room and nobody waits, else a place in line."""
        if gate.place[one] != "none":
            return gate
        if len(gate.slots) < SLOTS and "queued" not in gate.place:
            return gate._replace(place=put(gate.place, one, "admitted"), slots=gate.slots | {one})
        return gate._replace(place=put(gate.place, one, "reserved"))

    def withdraw(self, gate: Gate, one: int) -> Gate:
        """withdraw.lua: it will not be recorded."""
        if gate.place[one] in ("admitted", "reserved"):
            return self.pump(self.drop(gate, one))
        return gate

    def follow(self, gate: Gate, one: int) -> Gate:
        """follow.lua: it was recorded; start it or put it in line."""
        place = gate.place[one]
        if place == "admitted":
            return self.hand_out(gate, one)
        lapsed = place == "expired" and gate.attempt[one] == 0
        if place in ("none", "reserved") or lapsed:
            return self.pump(self.park(self.leave(gate, one), one))
        return gate

    # --- running ----------------------------------------------------------------------------

    def release(self, gate: Gate, one: int, attempt: int, ended: bool) -> Gate:
        """release.lua: an attempt is over."""
        holds = gate.attempt[one] == attempt and (
            gate.place[one] in ("dispatched", "expired")
            or (gate.place[one] == "suspended" and ended)
        )
        if holds or self.broken == "release_unfenced":
            gate = self.drop(gate, one)
        if ended:
            gate = self.tell_end(gate, one)
        return self.pump(gate)

    def begin_wait(self, gate: Gate, attempt: int) -> Gate:
        """begin_wait.lua: the parent is about to wait for its child."""
        knows = gate.attempt[PARENT] == attempt and not gate.stop[PARENT]
        if knows and gate.place[PARENT] in ("dispatched", "suspended"):
            return gate._replace(edge=("waits", attempt))
        return gate

    def suspend(self, gate: Gate, attempt: int, ended: bool) -> tuple[Gate, bool]:
        """suspend.lua: the parent's slot is free; it sleeps unless its child has ended."""
        if gate.attempt[PARENT] != attempt:
            return gate, False
        if gate.place[PARENT] in ("suspended", "queued"):
            return gate, True
        if gate.place[PARENT] != "dispatched":
            return gate, False
        if gate.stop[PARENT]:
            return self.pump(self.drop(gate, PARENT)), True
        gate = self._fall_asleep(gate, attempt, ended and self.broken != "ready_ignored")
        return self.pump(gate), True

    def _fall_asleep(self, gate: Gate, attempt: int, ended: bool) -> Gate:
        if self.broken != "sleeper_keeps_slot":
            gate = gate._replace(slots=gate.slots - {PARENT})
        gate = gate._replace(place=put(gate.place, PARENT, "suspended"))
        if ended or gate.woken == attempt or gate.edge == ("over", attempt):
            return self.rouse(gate)
        if gate.edge[1] != attempt:
            return gate._replace(edge=("none", 0))
        return gate

    def wake(self, gate: Gate) -> Gate:
        """wake.lua, without what it hands out: the parent is to look."""
        if gate.place[PARENT] == "suspended":
            return self.rouse(gate)
        if gate.place[PARENT] == "dispatched":
            return gate._replace(woken=gate.attempt[PARENT])
        return gate

    def requeue(self, gate: Gate, one: int, attempt: int) -> Gate:
        """requeue.lua: back in line after an attempt."""
        if gate.place[one] != "none" and (gate.attempt[one] > attempt or gate.stop[one]):
            return gate
        gate = self.leave(gate, one)._replace(attempt=put(gate.attempt, one, attempt))
        return self.pump(self.park(gate, one))

    # --- ends and repairs -------------------------------------------------------------------

    def cancel(self, gate: Gate, ids: Iterable[int]) -> Gate:
        """cancel.lua: these rows have ended; take them out of line, stop what runs."""
        for one in ids:
            if gate.place[one] == "dispatched":
                edge = ("none", 0) if one == PARENT else gate.edge
                gate = gate._replace(stop=put(gate.stop, one, True), edge=edge)
            elif gate.place[one] != "none":
                gate = self.drop(gate, one)
            gate = self.tell_end(gate, one)
        return self.pump(gate)

    def expire(self, gate: Gate, one: int) -> Gate:
        """lib/expire.lua: a lease ran out; its slot is free."""
        gate = self.leave(gate, one)
        return self.pump(gate._replace(place=put(gate.place, one, "expired")))

    def forget(self, gate: Gate, one: int, attempt: int, ended: bool) -> Gate:
        """forget.lua: an expired place belongs to no live attempt."""
        if gate.place[one] == "expired" and gate.attempt[one] == attempt:
            gate = self.drop(gate, one)
        if ended:
            gate = self.tell_end(gate, one)
        return self.pump(gate)

    def adopt(self, gate: Gate, one: int, row: str, attempt: int) -> Gate:
        """adopt.lua: learn of a live row, without asking for room."""
        place = {"running": "dispatched", "waiting": "suspended", "queued": "queued"}[row]
        known = gate.place[one]
        if known != "none" and self.stands(gate, one, row, attempt):
            return gate
        stop = gate.stop[one] and gate.attempt[one] == attempt
        gate = self.leave(gate, one)._replace(
            attempt=put(gate.attempt, one, attempt), stop=put(gate.stop, one, stop)
        )
        gate = gate._replace(place=put(gate.place, one, place))
        if place in HELD:
            gate = gate._replace(slots=gate.slots | {one})
        if row == "waiting":
            gate = gate._replace(edge=("waits", attempt))
            gate = self.rouse(gate) if gate.woken == attempt else gate
        return gate

    def stands(self, gate: Gate, one: int, row: str, attempt: int) -> bool:
        """Whether what the gate knows of an instance is as good as this row."""
        place = {"running": "dispatched", "waiting": "suspended", "queued": "queued"}[row]
        known = gate.place[one]
        if gate.attempt[one] != attempt:
            return gate.attempt[one] > attempt
        if known == place:
            return True
        return row == "waiting" and known not in ("reserved", "expired")
