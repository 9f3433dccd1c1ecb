"""What can happen next: housekeeping and rebuilding. See `tests/model/actions.py`."""

from __future__ import annotations

from tests.model.actions import Actions, Steps, cascaded
from tests.model.state import (
    CHILD,
    INSTANCES,
    LEASED,
    LIVE,
    OVER,
    PARENT,
    REST,
    SLOTS,
    Gate,
    State,
    put,
)


def cares(state: State, one: int) -> bool:
    """Whether somebody lives who renews the lease of an instance, or is still to begin it."""
    place, attempt = state.gate.place[one], state.gate.attempt[one]
    if place == "dispatched":
        return (one, attempt) in state.gate.messages or any(
            w.at != "idle" and (w.instance, w.attempt) == (one, attempt) for w in state.worker
        )
    if one == PARENT:
        return state.client in ("checked", "recorded", "followed")
    return any(w.at in ("checked", "recorded") for w in state.worker)


class Repairs(Actions):
    """The verbs of beats and of whoever meets an empty gate."""

    def pump_now(self, s: State) -> Steps:
        """lua/heartbeat.lua: every heartbeat hands out what is free."""
        if s.gate.open and len(s.gate.slots) < SLOTS and "queued" in s.gate.place:
            yield ("Pump",), s._replace(gate=self.pump(s.gate))

    def lease_runs_out(self, s: State) -> Steps:
        """lib/expire.lua: nobody is there who would renew it."""
        if self.broken == "leases_never_end":
            return
        for one in INSTANCES:
            if s.gate.open and s.gate.place[one] in LEASED and not cares(s, one):
                yield ("LeaseRunsOut", one), s._replace(gate=self.expire(s.gate, one))

    # --- engine/sweep.py --------------------------------------------------------------------

    def sweep_claim(self, s: State) -> Steps:
        """A place whose lease ran out is to be judged."""
        for one in INSTANCES:
            if s.gate.open and s.sweeper == REST and s.gate.place[one] == "expired":
                sweeper = ("judge", one, s.gate.attempt[one])
                yield ("SweepClaim", one), s._replace(sweeper=sweeper)

    def sweep_judge(self, s: State) -> Steps:
        """Another attempt, or failure, or the place is nobody's: as PostgreSQL has it."""
        if s.sweeper[0] != "judge":
            return
        one, attempt = int(str(s.sweeper[1])), int(str(s.sweeper[2]))
        label = ("SweepJudge", one, attempt)
        row = s.row[one]
        if row not in LIVE or s.row_attempt[one] > attempt:
            yield label, s._replace(sweeper=("forget", one, attempt, row not in LIVE))
            return
        raised = s._replace(row_attempt=put(s.row_attempt, one, attempt))
        if row == "waiting" and s.row_attempt[one] == attempt:
            if s.adopter == REST:
                yield label, raised._replace(sweeper=REST, adopter=("adopt", one, row, attempt))
            return
        again = raised._replace(row=put(s.row, one, "queued"), sweeper=("requeue", one, attempt))
        yield label, again
        if row == "running":
            failed = put(s.row, one, "ended")
            below = one == PARENT and s.row[CHILD] in LIVE
            failed = cascaded(failed) if one == PARENT else failed
            sweeper = ("tell" if below else "forget", one, attempt, True)
            yield label, raised._replace(row=failed, sweeper=sweeper)

    def sweep_tell(self, s: State) -> Steps:
        """The gate learns who has ended with one that failed."""
        if s.sweeper[0] == "tell" and s.gate.open:
            sweeper = ("forget", *s.sweeper[1:])
            yield ("SweepTell",), s._replace(gate=self.cancel(s.gate, [CHILD]), sweeper=sweeper)

    def sweep_requeue(self, s: State) -> Steps:
        """It is in line again."""
        if s.sweeper[0] == "requeue" and s.gate.open:
            one, attempt = int(str(s.sweeper[1])), int(str(s.sweeper[2]))
            gate = self.requeue(s.gate, one, attempt)
            yield ("SweepRequeue", one, attempt), s._replace(gate=gate, sweeper=REST)

    def sweep_forget(self, s: State) -> Steps:
        """The place is given up."""
        if s.sweeper[0] == "forget" and s.gate.open:
            one, attempt = int(str(s.sweeper[1])), int(str(s.sweeper[2]))
            gate = self.forget(s.gate, one, attempt, bool(s.sweeper[3]))
            yield ("SweepForget", one, attempt), s._replace(gate=gate, sweeper=REST)

    # --- engine/reap.py ---------------------------------------------------------------------

    def reap(self, s: State) -> Steps:
        """A live child of an ended parent: there is none."""
        if s.row[PARENT] in OVER and s.row[CHILD] in LIVE and s.canceller[0] in ("ready", "done"):
            yield ("Reap",), s._replace(row=cascaded(s.row), canceller=("rows", CHILD))

    # --- engine/reconcile.py, engine/adopt.py -----------------------------------------------

    def reconcile_adopt(self, s: State) -> Steps:
        """A live row that the gate does not know."""
        if self.broken == "never_reconciled":
            return
        for one in INSTANCES:
            unknown = s.gate.open and s.gate.place[one] == "none"
            if unknown and s.row[one] in LIVE and s.adopter == REST:
                adopter = ("adopt", one, s.row[one], s.row_attempt[one])
                yield ("ReconcileAdopt", one), s._replace(adopter=adopter)

    def reconcile_wake(self, s: State) -> Steps:
        """A wait that is over, as PostgreSQL knows and the gate does not."""
        asleep = s.gate.place[PARENT] == "suspended"
        about_to = s.gate.place[PARENT] == "dispatched" and s.gate.woken != s.gate.attempt[PARENT]
        over = s.row[PARENT] == "waiting" and s.row[CHILD] in OVER
        if s.gate.open and over and (asleep or about_to):
            gate = self.pump(self.wake(s.gate))
            yield ("ReconcileWake",), s._replace(gate=gate)

    def reconcile_forget(self, s: State) -> Steps:
        """What has ended waits in line or for others."""
        for one in INSTANCES:
            stays = s.gate.place[one] in ("queued", "suspended")
            if s.gate.open and stays and s.row[one] in OVER:
                gate = self.cancel(s.gate, [one])
                yield ("ReconcileForget", one), s._replace(gate=gate)

    def adopt_gate(self, s: State) -> Steps:
        """The gate learns of a row, as it was read."""
        if s.adopter[0] == "adopt" and (s.gate.open or s.gate.filling):
            one, row, attempt = int(str(s.adopter[1])), str(s.adopter[2]), int(str(s.adopter[3]))
            adopter = ("tell",) if row == "waiting" else REST
            gate = self.adopt(s.gate, one, row, attempt)
            yield ("AdoptGate", one, attempt), s._replace(gate=gate, adopter=adopter)

    def adopt_tell(self, s: State) -> Steps:
        """And of what of that it waits for has ended."""
        if s.adopter == ("tell",) and (s.gate.open or s.gate.filling):
            yield ("AdoptTell",), s._replace(gate=self._told(s), adopter=REST)

    def _told(self, s: State) -> Gate:
        """adopt.py: `tell_ended` and `wake`; a gate that is being filled hands nobody out."""
        gate = s.gate
        if s.row[CHILD] in OVER:
            gate = self.tell_end(gate, CHILD)
            gate = self.wake(gate) if s.row[PARENT] == "waiting" else gate
        return self.pump(gate) if gate.open else gate

    # --- engine/rebuild.py ------------------------------------------------------------------

    def rebuild_claim(self, s: State) -> Steps:
        """One process fills the empty gate; it reads what lives."""
        if not s.gate.open and not s.gate.filling and s.rebuilder == REST:
            live = [(i, s.row[i], s.row_attempt[i]) for i in INSTANCES if s.row[i] in LIVE]
            rebuilder = ("open" if self.broken == "opens_unfilled" else "adopt", *live)
            gate = s.gate._replace(filling=True)
            yield ("RebuildClaim",), s._replace(gate=gate, rebuilder=rebuilder)

    def rebuild_adopt(self, s: State) -> Steps:
        """The gate learns of all."""
        if s.rebuilder[0] == "adopt" and s.gate.filling:
            gate = s.gate
            for live in s.rebuilder[1:]:
                assert isinstance(live, tuple)
                gate = self.adopt(gate, *live)
            yield ("RebuildAdopt",), s._replace(gate=gate, rebuilder=("tell", *s.rebuilder[1:]))

    def rebuild_tell(self, s: State) -> Steps:
        """And of what of that they wait for has ended."""
        if s.rebuilder[0] == "tell" and s.gate.filling:
            blocked = self.broken == "told_when_open" and s.row[CHILD] in OVER
            if not (blocked and s.gate.place[PARENT] == "suspended"):
                rebuilder = ("open", *s.rebuilder[1:])
                yield ("RebuildTell",), s._replace(gate=self._told(s), rebuilder=rebuilder)

    def rebuild_open(self, s: State) -> Steps:
        """The gate decides again."""
        if s.rebuilder[0] == "open" and s.gate.filling:
            gate = self.pump(s.gate._replace(open=True, filling=False))
            yield ("RebuildOpen",), s._replace(gate=gate, rebuilder=REST)

    def rebuild_lost(self, s: State) -> Steps:
        """Redis was emptied again meanwhile: the claim is gone."""
        if s.rebuilder != REST and not s.gate.filling:
            yield ("RebuildLost",), s._replace(rebuilder=REST)
