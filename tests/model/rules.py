"""What must hold: in every state, over every step, and where nothing is left to be done.

Numbers are those of `docs/explanation/guarantees.md`. Each answers what is wrong, or nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.model.state import (
    CHILD,
    HELD,
    INSTANCES,
    LIVE,
    NAMES,
    OVER,
    PARENT,
    SLOTS,
    State,
    at_work,
)

#: Steps that write a row for an attempt that a worker runs.
_WRITES = {"Settle", "SuspendRow", "HandBack"}
#: Steps by which the gate learns of what runs already, without asking for room.
_ADOPTS = {"AdoptGate", "RebuildAdopt"}
#: Where a spawn may be that is not recorded yet.
_PROMISED = {"none", "admitted", "reserved", "expired"}


def wrong_in(state: State) -> Iterator[str]:
    """What no state may be."""
    gate = state.gate
    for one in INSTANCES:
        handed_out = gate.attempt[one] > 0 or gate.place[one] not in _PROMISED
        if handed_out and state.row[one] == "none":
            yield f"R1: the {NAMES[one]} was handed out or put in line, and is not recorded"
    if not state.disturbed and (len(gate.slots) > SLOTS or len(at_work(state)) > SLOTS):
        yield "R2: more run than there are slots"
    if gate.slots != {one for one in INSTANCES if gate.place[one] in HELD}:
        yield "R3: a slot is held by somebody who is not at a place that has one"
    busy = [(w.instance, w.attempt) for w in at_work(state)]
    if len(set(busy)) < len(busy):
        yield "R4: two workers run one attempt"
    if state.row[PARENT] in OVER and state.row[CHILD] in LIVE:
        yield "R5: the parent has ended, the child lives"


def wrong_over(before: State, label: tuple[Any, ...], after: State) -> Iterator[str]:
    """What no step may do."""
    name = label[0]
    grew = len(after.gate.slots) > max(SLOTS, len(before.gate.slots))
    if grew and name not in _ADOPTS:
        yield "R2: a slot was given to one too many"
    for one in INSTANCES:
        changed = before.row[one] != after.row[one]
        if before.row[one] in OVER and changed:
            yield f"R4: the {NAMES[one]} had ended, and changed"
        if after.row_attempt[one] < before.row_attempt[one]:
            yield f"R4: the attempt of the {NAMES[one]} fell"
        newest = before.row_attempt[one] == label[-1] and before.row[one] in LIVE
        if name in _WRITES and label[1] == one and changed and not newest:
            yield f"R4: attempt {label[-1]} wrote, {before.row_attempt[one]} is the newest"
    yield from _wrong_spawn(before, label, after)
    if name == "RebuildOpen":
        yield from _wrong_opening(before)


def _wrong_spawn(before: State, label: tuple[Any, ...], after: State) -> Iterator[str]:
    if label[0] == "SpawnRecord" and before.row[CHILD] != after.row[CHILD]:
        newest = before.row[PARENT] == "running" and before.row_attempt[PARENT] == label[2]
        if not newest:
            yield f"R4: attempt {label[2]} spawned, and is not the newest that runs"


def _wrong_opening(before: State) -> Iterator[str]:
    # What was read, by instance.
    for row in before.rebuilder[1:]:
        assert isinstance(row, tuple)
        if before.row[row[0]] in LIVE and before.gate.place[row[0]] == "none":
            yield f"R10: the gate opens and does not know the {NAMES[row[0]]}"


def wrong_at_rest(state: State) -> Iterator[str]:
    """What must have been brought to an end where nothing more is bound to happen."""
    for one in INSTANCES:
        if state.row[one] in LIVE:
            yield f"R1, R6: the {NAMES[one]} never ends: it is {state.row[one]} for ever"
        if state.gate.place[one] != "none":
            yield f"R3: the gate keeps the {NAMES[one]} for ever: {state.gate.place[one]}"
    if state.gate.slots:
        yield "R3: a slot is never given back"
    if not state.gate.open:
        yield "R10: the gate is never opened"


def wrong_without_repairs(state: State) -> Iterator[str]:
    """What nobody had to repair where nothing went wrong."""
    if state.faults == 0:
        yield from wrong_at_rest(state)
