"""What can happen next: spawning, running, stopping. One method for each action of the text.

Each answers the states that may follow, with what happened as a label: the action's name and what
it was about. An action stands for one transaction or one script call, so anything can come between
two of them; that is what the model is for.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.model.state import CHILD, IDLE, LIVE, OVER, PARENT, State, Worker, put
from tests.model.verbs import Verbs

#: What happened, and what came of it.
Step = tuple[tuple[Any, ...], State]
Steps = Iterator[Step]


def cascaded(row: tuple[str, str]) -> tuple[str, str]:
    """The rows once the end of the parent has reached its child."""
    return (row[PARENT], "cancelled") if row[CHILD] in LIVE else row


class Actions(Verbs):
    """The verbs of clients and workers."""

    # --- engine/spawn.py: the service's spawn of the parent ---------------------------------

    def client_check_in(self, s: State) -> Steps:
        """Check in at the gate."""
        if s.client == "start" and s.gate.open:
            gate = self.check_in(s.gate, PARENT)
            yield ("ClientCheckIn",), s._replace(gate=gate, client="checked")

    def client_record(self, s: State) -> Steps:
        """The row: now the spawn is accepted."""
        early = self.broken == "follow_before_record"
        if s.client == ("followed" if early else "checked"):
            row = put(s.row, PARENT, "queued")
            yield ("ClientRecord",), s._replace(row=row, client="done" if early else "recorded")

    def client_follow(self, s: State) -> Steps:
        """The gate hands it out or puts it in line."""
        early = self.broken == "follow_before_record"
        if s.client == ("checked" if early else "recorded") and s.gate.open:
            gate = self.follow(s.gate, PARENT)
            yield ("ClientFollow",), s._replace(gate=gate, client="followed" if early else "done")

    # --- engine/execute.py ------------------------------------------------------------------

    def deliver(self, s: State) -> Steps:
        """A worker takes a message: it is acknowledged at once, so a crash loses it."""
        for message in s.gate.messages if IDLE in s.worker else ():
            gate = s.gate._replace(messages=s.gate.messages - {message})
            yield ("Deliver", *message), moved(s, IDLE, Worker("got", *message), gate=gate)

    def begin(self, s: State) -> Steps:
        """queued or waiting -> running, for a newer attempt than any before."""
        for w in who_is(s, "got"):
            one = w.instance
            may = s.row[one] in ("queued", "waiting") and s.row_attempt[one] < w.attempt
            if may or (self.broken == "begin_unfenced" and s.row[one] in LIVE):
                begun = {
                    "row": put(s.row, one, "running"),
                    "row_attempt": put(s.row_attempt, one, w.attempt),
                }
                yield label_of("Begin", w), moved(s, w, w._replace(at="run"), **begun)
            else:
                yield label_of("Begin", w), moved(s, w, w._replace(at="refused"))

    def turn_away(self, s: State) -> Steps:
        """An attempt may not begin: unless it runs already, its slot is for others."""
        for w in who_is(s, "refused"):
            over = s.row[w.instance] not in LIVE
            runs = s.row_attempt[w.instance] == w.attempt and self.broken != "twice_releases"
            after = IDLE if runs and not over else w._replace(at="release", seen=over)
            yield label_of("TurnAway", w), moved(s, w, after)

    def spawn_check_in(self, s: State) -> Steps:
        """A running parent spawns its child: the same three steps."""
        for w in who_is(s, "run", PARENT):
            busy = any(one.at in ("checked", "recorded") for one in s.worker)
            knows = s.gate.attempt[PARENT] == w.attempt and not s.gate.stop[PARENT]
            free = s.row[CHILD] == "none" and s.gate.place[CHILD] == "none"
            if s.gate.open and knows and free and not busy:
                gate = self.check_in(s.gate, CHILD)
                yield label_of("SpawnCheckIn", w), moved(s, w, w._replace(at="checked"), gate=gate)

    def spawn_record(self, s: State) -> Steps:
        """The child's row, under a lock of the parent's: only the newest running attempt."""
        for w in who_is(s, "checked"):
            runs = s.row[PARENT] == "running" and s.row_attempt[PARENT] == w.attempt
            if runs or self.broken == "record_unfenced":
                row = put(s.row, CHILD, "queued")
                yield label_of("SpawnRecord", w), moved(s, w, w._replace(at="recorded"), row=row)
            elif s.gate.open:
                gate = self.withdraw(s.gate, CHILD)
                yield label_of("SpawnRecord", w), moved(s, w, w._replace(at="left"), gate=gate)

    def spawn_follow(self, s: State) -> Steps:
        """The gate hands the child out or puts it in line."""
        for w in who_is(s, "recorded"):
            if s.gate.open:
                gate = self.follow(s.gate, CHILD)
                yield label_of("SpawnFollow", w), moved(s, w, w._replace(at="run"), gate=gate)

    # --- agents/waiting.py, engine/wait.py, engine/suspend.py -------------------------------

    def look(self, s: State) -> Steps:
        """The parent asks for the child's result, which is not there."""
        for w in who_is(s, "run", PARENT):
            if s.row[CHILD] in LIVE:
                yield label_of("Look", w), moved(s, w, w._replace(at="look"))

    def begin_waiting(self, s: State) -> Steps:
        """The gate learns of the wait; the function is left."""
        for w in who_is(s, "look"):
            if s.gate.open:
                gate = self.begin_wait(s.gate, w.attempt)
                yield label_of("BeginWait", w), moved(s, w, w._replace(at="leave"), gate=gate)

    def suspend_row(self, s: State) -> Steps:
        """running -> waiting, and on to queued where the child has ended by now."""
        for w in who_is(s, "leave"):
            if s.row[PARENT] == "running" and s.row_attempt[PARENT] == w.attempt:
                over = s.row[CHILD] in OVER
                row = put(s.row, PARENT, "queued" if over else "waiting")
                after = w._replace(at="suspend", seen=over)
                yield label_of("SuspendRow", w), moved(s, w, after, row=row)
            else:
                after = w._replace(at="release", seen=False)
                yield label_of("SuspendRow", w), moved(s, w, after)

    def suspend_gate(self, s: State) -> Steps:
        """The slot is given back; the parent sleeps, or is in line again."""
        for w in who_is(s, "suspend"):
            if s.gate.open:
                gate, done = self.suspend(s.gate, w.attempt, w.seen)
                after = IDLE if done else w._replace(at="untold", seen=False)
                yield label_of("SuspendGate", w), moved(s, w, after, gate=gate)

    def tell_again(self, s: State) -> Steps:
        """The gate has lost the attempt: it learns of the row as of one it never knew."""
        for w in who_is(s, "untold"):
            same = s.row[PARENT] in LIVE and s.row_attempt[PARENT] == w.attempt
            if not same:
                yield label_of("TellAgain", w), moved(s, w, IDLE)
            elif s.adopter == ("idle",):
                adopter = ("adopt", PARENT, s.row[PARENT], w.attempt)
                yield label_of("TellAgain", w), moved(s, w, IDLE, adopter=adopter)

    # --- engine/execute.py: the end ---------------------------------------------------------

    def settle(self, s: State) -> Steps:
        """The fenced end of an attempt, with the end of all below it."""
        for w in who_is(s, "early" if self.broken == "release_before_settle" else "run"):
            one = w.instance
            mine = s.row[one] == "running" and s.row_attempt[one] == w.attempt
            if mine or (self.broken == "settle_unfenced" and s.row[one] in LIVE):
                row = put(s.row, one, "ended")
                below = one == PARENT and row[CHILD] in LIVE
                if one == PARENT and self.broken != "cascade_in_two":
                    row = cascaded(row)
                after = w._replace(at="tell" if below else "release", seen=True)
                yield label_of("Settle", w), moved(s, w, after, row=row)
            else:
                yield label_of("Settle", w), moved(s, w, w._replace(at="left"))

    def tell_below(self, s: State) -> Steps:
        """The gate learns who has ended with the parent."""
        for w in who_is(s, "tell"):
            if s.gate.open:
                gate = self.cancel(s.gate, [CHILD])
                after = w._replace(at="release")
                row = cascaded(s.row) if self.broken == "cascade_in_two" else s.row
                yield label_of("TellBelow", w), moved(s, w, after, gate=gate, row=row)

    def look_left(self, s: State) -> Steps:
        """The row is somebody else's: only the slot is still to be given back."""
        for w in who_is(s, "left"):
            after = w._replace(at="release", seen=s.row[w.instance] not in LIVE)
            yield label_of("LookLeft", w), moved(s, w, after)

    def release_slot(self, s: State) -> Steps:
        """The slot is free, the next in line gets it."""
        early = self.broken == "release_before_settle"
        for w in s.worker:
            if w.at == ("run" if early else "release") and s.gate.open:
                gate = self.release(s.gate, w.instance, w.attempt, w.seen)
                after = w._replace(at="early") if early else IDLE
                yield label_of("Release", w), moved(s, w, after, gate=gate)
        if early:
            for w in who_is(s, "release"):
                yield label_of("Release", w), moved(s, w, IDLE)

    def requeue_gate(self, s: State) -> Steps:
        """An attempt was handed back; it is in line again."""
        for w in who_is(s, "back"):
            if s.gate.open:
                gate = self.requeue(s.gate, w.instance, w.attempt)
                yield label_of("Requeue", w), moved(s, w, IDLE, gate=gate)

    # --- engine/heartbeat.py ----------------------------------------------------------------

    def stop(self, s: State) -> Steps:
        """What has ended in PostgreSQL, or is another attempt's, stops."""
        for w in (*who_is(s, "run"), *who_is(s, "look")):
            one = w.instance
            mine = s.row[one] == "running" and s.row_attempt[one] == w.attempt
            if not mine:
                yield label_of("Stop", w), moved(s, w, w._replace(at="left"))

    def restore(self, s: State) -> Steps:
        """The gate has lost the place of a run that PostgreSQL knows."""
        for w in s.worker:
            one = w.instance
            mine = s.row[one] == "running" and s.row_attempt[one] == w.attempt
            lost = s.gate.place[one] == "none" or not self.stands(s.gate, one, "running", w.attempt)
            if w.at != "idle" and mine and lost and s.adopter == ("idle",) and s.gate.open:
                adopter = ("adopt", one, "running", w.attempt)
                yield label_of("Restore", w), s._replace(adopter=adopter)

    # --- engine/cancel.py -------------------------------------------------------------------

    def cancel_rows(self, s: State) -> Steps:
        """Somebody ends an instance: with all below it, in one transaction."""
        for one in (PARENT, CHILD):
            if s.canceller == ("ready",) and s.row[one] in LIVE:
                row = put(s.row, one, "cancelled")
                row = cascaded(row) if one == PARENT else row
                ended = [i for i in (PARENT, CHILD) if row[i] != s.row[i]]
                yield ("CancelRows", one), s._replace(row=row, canceller=("rows", *ended))

    def cancel_gate(self, s: State) -> Steps:
        """And the gate takes out of line what waits, and stops what runs."""
        if s.canceller[0] == "rows" and s.gate.open:
            gate = self.cancel(s.gate, [int(str(one)) for one in s.canceller[1:]])
            yield ("CancelGate",), s._replace(gate=gate, canceller=("done",))


def who_is(state: State, at: str, instance: int | None = None) -> list[Worker]:
    found = [w for w in state.worker if w.at == at and instance in (None, w.instance)]
    return found[:1] if len(set(found)) == 1 else found


def label_of(name: str, worker: Worker) -> tuple[Any, ...]:
    return (name, worker.instance, worker.attempt)


def moved(state: State, worker: Worker, after: Worker, **changes: Any) -> State:
    """The state in which one worker has come to another place, and more has changed."""
    others = list(state.worker)
    others.remove(worker)
    return state._replace(worker=tuple(sorted([*others, after])), **changes)
