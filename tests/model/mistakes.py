"""Mistakes that may be made in the model on purpose, each with what it is about."""

from __future__ import annotations

#: Name -> what is wrong then, and the rule that shows it.
MISTAKES = {
    "settle_unfenced": ("an attempt that is not the newest may settle", "R4"),
    "begin_unfenced": ("a message that comes twice is begun twice", "R2"),
    "record_unfenced": ("an attempt that was fenced out may spawn", "R4"),
    "release_unfenced": ("any attempt may give a slot back", "R2"),
    "twice_releases": ("a second delivery gives the slot of the first away", "R2"),
    "release_before_settle": ("the slot is given back before the row has ended", "R3"),
    "follow_before_record": ("a spawn is handed out before it is recorded", "R1"),
    "requeue_same_attempt": ("who runs again does so under the same number", "R1"),
    "cascade_in_two": ("children end in a transaction of their own", "R5"),
    "sleeper_keeps_slot": ("who waits keeps its slot", "R3"),
    "ready_ignored": ("a child that has ended before its parent slept is not seen", "R1"),
    "end_not_told": ("the gate does not wake who waits for one that ends", "R1"),
    "leases_never_end": ("leases last for ever", "R3"),
    "never_reconciled": ("nobody looks for rows that the gate does not know", "R1"),
    "opens_unfilled": ("an emptied gate opens before it knows who lives", "R10"),
    "told_when_open": ("an emptied gate hears of ends only once it is open", "R1"),
}
