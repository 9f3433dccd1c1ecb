"""What can happen next: what goes wrong, and attempts that end without an end.

Each costs one of the faults there may be. See `tests/model/actions.py`.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.model.actions import Step, Steps, cascaded, label_of, moved, who_is
from tests.model.repairs import Repairs, cares
from tests.model.state import (
    CHILD,
    EMPTY,
    IDLE,
    INSTANCES,
    LEASED,
    OVER,
    PARENT,
    REST,
    State,
    Worker,
    put,
)


class Faults(Repairs):
    """All that can happen."""

    def crash(self, s: State) -> Steps:
        """A process dies, whatever it is at; workers are started again."""
        for w in set(s.worker) - {IDLE}:
            yield ("Crash", w.at, w.instance, w.attempt), moved(s, w, IDLE)
        if s.client in ("checked", "recorded", "followed"):
            yield ("Crash", "client"), s._replace(client="dead")
        if s.sweeper != REST:
            yield ("Crash", "sweeper"), s._replace(sweeper=REST)
        if s.adopter != REST:
            yield ("Crash", "adopter"), s._replace(adopter=REST)
        if s.rebuilder != REST:
            # The claim runs out by itself.
            gate = s.gate._replace(filling=False)
            yield ("Crash", "rebuilder"), s._replace(gate=gate, rebuilder=REST)
        if s.canceller[0] == "rows":
            yield ("Crash", "canceller"), s._replace(canceller=("done",))

    def lose_message(self, s: State) -> Steps:
        """The broker loses a message."""
        for message in s.gate.messages:
            gate = s.gate._replace(messages=s.gate.messages - {message})
            yield ("LoseMessage", *message), s._replace(gate=gate)

    def deliver_twice(self, s: State) -> Steps:
        """A message is given to a worker and stays."""
        for message in s.gate.messages if IDLE in s.worker else ():
            yield ("DeliverTwice", *message), moved(s, IDLE, Worker("got", *message))

    def empty_redis(self, s: State) -> Steps:
        """Redis loses everything, messages too."""
        if s.gate.open or s.gate.filling:
            yield ("EmptyRedis",), s._replace(gate=EMPTY, disturbed=True)

    def lease_runs_late(self, s: State) -> Steps:
        """A lease runs out whose holder lives: it was stopped, or cut off."""
        for one in INSTANCES:
            if s.gate.open and s.gate.place[one] in LEASED and cares(s, one):
                gate = self.expire(s.gate, one)
                yield ("LeaseRunsLate", one), s._replace(gate=gate, disturbed=True)

    def hand_back(self, s: State) -> Steps:
        """An attempt ends and its instance goes on: it failed, or its worker stops."""
        for w in who_is(s, "run"):
            one = w.instance
            same = s.row_attempt[one] == w.attempt
            if same and s.row[one] in ("running", "waiting"):
                row = put(s.row, one, "queued")
                yield label_of("HandBack", w), moved(s, w, w._replace(at="back"), row=row)

    def unheard(self, s: State) -> Steps:
        """A statement was committed and its answer lost: it is repeated, and finds nothing."""
        for w in s.worker:
            one = w.instance
            mine = s.row[one] == "running" and s.row_attempt[one] == w.attempt
            fresh = s.row[one] in ("queued", "waiting") and s.row_attempt[one] < w.attempt
            if w.at == "got" and fresh:
                rows = {
                    "row": put(s.row, one, "running"),
                    "row_attempt": put(s.row_attempt, one, w.attempt),
                }
                yield (
                    ("Unheard", "Begin", one, w.attempt),
                    moved(s, w, w._replace(at="refused"), **rows),
                )
            elif w.at == "run" and mine:
                row = put(s.row, one, "ended")
                row = cascaded(row) if one == PARENT else row
                yield (
                    ("Unheard", "Settle", one, w.attempt),
                    moved(s, w, w._replace(at="left"), row=row),
                )
            elif w.at == "leave" and mine:
                row = put(s.row, one, "queued" if s.row[CHILD] in OVER else "waiting")
                after = w._replace(at="release", seen=False)
                yield ("Unheard", "SuspendRow", one, w.attempt), moved(s, w, after, row=row)
        if s.client == "checked" and s.gate.open:
            row, gate = put(s.row, PARENT, "queued"), self.withdraw(s.gate, PARENT)
            yield ("Unheard", "ClientRecord"), s._replace(row=row, gate=gate, client="dead")


#: The actions of the text by name, and how it calls the function here.
PROGRESS = {
    "ClientCheckIn": "client_check_in",
    "ClientRecord": "client_record",
    "ClientFollow": "client_follow",
    "Deliver": "deliver",
    "Begin": "begin",
    "TurnAway": "turn_away",
    "SpawnCheckIn": "spawn_check_in",
    "SpawnRecord": "spawn_record",
    "SpawnFollow": "spawn_follow",
    "Look": "look",
    "BeginWait": "begin_waiting",
    "SuspendRow": "suspend_row",
    "SuspendGate": "suspend_gate",
    "TellAgain": "tell_again",
    "Settle": "settle",
    "TellBelow": "tell_below",
    "LookLeft": "look_left",
    "Release": "release_slot",
    "Requeue": "requeue_gate",
    "Stop": "stop",
    "CancelGate": "cancel_gate",
    "Pump": "pump_now",
}
REPAIRS = {
    "LeaseRunsOut": "lease_runs_out",
    "SweepClaim": "sweep_claim",
    "SweepJudge": "sweep_judge",
    "SweepTell": "sweep_tell",
    "SweepRequeue": "sweep_requeue",
    "SweepForget": "sweep_forget",
    "Reap": "reap",
    "Restore": "restore",
    "ReconcileAdopt": "reconcile_adopt",
    "ReconcileWake": "reconcile_wake",
    "ReconcileForget": "reconcile_forget",
    "AdoptGate": "adopt_gate",
    "AdoptTell": "adopt_tell",
    "RebuildClaim": "rebuild_claim",
    "RebuildAdopt": "rebuild_adopt",
    "RebuildTell": "rebuild_tell",
    "RebuildOpen": "rebuild_open",
    "RebuildLost": "rebuild_lost",
}
#: What somebody may do or not.
CHOICES = {"CancelRows": "cancel_rows"}
FAULTS = {
    "Crash": "crash",
    "LoseMessage": "lose_message",
    "DeliverTwice": "deliver_twice",
    "EmptyRedis": "empty_redis",
    "LeaseRunsLate": "lease_runs_late",
    "HandBack": "hand_back",
    "Unheard": "unheard",
}


class Model(Faults):
    """The steps that are possible, in two parts: those that are bound to come, and others."""

    def __init__(self, faults: int, broken: str = "", *, cancels: bool = True) -> None:
        super().__init__(broken)
        self.faults = faults
        #: how everything begins
        self.first = State() if cancels else State(canceller=("done",))
        self._own = [getattr(self, name) for name in PROGRESS.values()]
        self._repairs = [getattr(self, name) for name in REPAIRS.values()]
        self._choices = [getattr(self, name) for name in CHOICES.values()]
        self._faults = [getattr(self, name) for name in FAULTS.values()]

    def own(self, state: State) -> list[Step]:
        """The steps of those who are at something."""
        return [step for action in self._own for step in action(state)]

    def repairs(self, state: State) -> list[Step]:
        """The steps of housekeeping."""
        return [step for action in self._repairs for step in action(state)]

    def others(self, state: State) -> Iterator[Step]:
        """What may happen and need not."""
        for action in self._choices:
            yield from action(state)
        if state.faults < self.faults:
            for action in self._faults:
                for label, after in action(state):
                    yield label, after._replace(faults=state.faults + 1)
