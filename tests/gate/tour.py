"""Every verb of the gate, once."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from orchestrator.admission.gate import Gate
from orchestrator.domain.lifecycle import State
from orchestrator.domain.limits import Limits
from orchestrator.domain.scope import Scope
from tests.gate.rows import parent_of, row_of
from tests.support.make import spawn_of

NEW = spawn_of(id="one")
CHILD = spawn_of(parent_of(NEW, 1), id="two")
ROW = row_of(NEW, State.QUEUED, 0)


def configure(gate: Gate) -> None:
    """Default limits and times."""
    gate.configure(Limits(), lease=15.0, dispatch=60.0, outbox=False)


#: script -> a call of the gate that runs it
TOUR: Mapping[str, Callable[[Gate], object]] = {
    "apply_limits": lambda gate: gate.apply_limits(1, {Scope("tenant", "t"): 2}, 0),
    "adopt": lambda gate: gate.adopt([ROW]),
    "begin_rebuild": lambda gate: gate.begin_rebuild("token", 10.0),
    "begin_round": lambda gate: gate.begin_round("sweep", 5.0),
    "cancel": lambda gate: gate.cancel([NEW.id]),
    "check_in": lambda gate: gate.check_in(CHILD, "queue"),
    "configure": configure,
    "finish_rebuild": lambda gate: gate.finish_rebuild("token"),
    "follow": lambda gate: gate.follow_many([NEW, CHILD]),
    "forget": lambda gate: gate.forget(NEW.id, 1),
    "glance": lambda gate: gate.glance(NEW.id),
    "heartbeat": lambda gate: gate.heartbeat("worker", "default", 1, [(NEW.id, 1)]),
    "hold_rebuild": lambda gate: gate.hold_rebuild("token", 10.0),
    "leave": lambda gate: gate.leave("worker"),
    "note_woken": lambda gate: gate.note_woken(1, 0),
    "pump_now": lambda gate: gate.pump(),
    "refresh_flows": lambda gate: gate.refresh_flows(),
    "release": lambda gate: gate.release(NEW.id, 1),
    "requeue": lambda gate: gate.requeue(ROW, 1, 5.0),
    "resume": lambda gate: gate.resume(NEW.id, 1),
    "suspend": lambda gate: gate.suspend(NEW.id, 1, "worker"),
    "survey": lambda gate: list(gate.survey()),
    "sweep": lambda gate: gate.sweep(10, 30.0),
    "unknown": lambda gate: gate.unknown([NEW.id]),
    "withdraw": lambda gate: gate.withdraw([NEW.id]),
}

#: Those that an empty gate answers: they fill it, or need nothing from it.
FILLING = {
    "apply_limits",
    "begin_rebuild",
    "begin_round",
    "configure",
    "finish_rebuild",
    "hold_rebuild",
    "note_woken",
}
