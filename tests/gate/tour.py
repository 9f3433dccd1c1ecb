"""Every verb of the gate, once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from orchestrator.admission.accounts import DueBudget
from orchestrator.admission.calls import Caller
from orchestrator.admission.gate import Gate
from orchestrator.domain.budget import Budget
from orchestrator.domain.call import Amounts, Outcome
from orchestrator.domain.lifecycle import State
from orchestrator.domain.limits import Limits
from orchestrator.domain.provider import Hint
from orchestrator.domain.resource import Resource
from orchestrator.domain.scope import Scope
from tests.gate.rows import load_of, parent_of, row_of
from tests.support.make import spawn_of

NEW = spawn_of(id="one")
CHILD = spawn_of(parent_of(NEW, 1), id="two")
LOAD = load_of(Budget(tokens=10), "tenant", "session")
DUE = DueBudget(LOAD.name, "", "tenant", "session", "tokens")
ROW = row_of(NEW, State.QUEUED, 0)


def configure(gate: Gate) -> None:
    """Default limits and times."""
    gate.configure(Limits(), lease=15.0, dispatch=60.0, outbox=False)


CALL = Caller("call", "llm", "tenant", NEW.id)

#: script -> a call of the gate that runs it
TOUR: Mapping[str, Callable[[Gate], object]] = {
    "apply_limits": lambda gate: gate.apply_limits(1, {Scope("tenant", "t"): 2}, 0),
    "acquire": lambda gate: gate.acquire(CALL, Amounts(input_tokens=5), may_wait=True),
    "answer": lambda gate: gate.answer(ROW, "other"),
    "adopt": lambda gate: gate.adopt([ROW]),
    "begin_rebuild": lambda gate: gate.begin_rebuild("token", 10.0),
    "begin_wait": lambda gate: gate.begin_wait(ROW, 1, "run:1", [CHILD.id]),
    "block": lambda gate: gate.block(ROW, 1, "run:1"),
    "begin_round": lambda gate: gate.begin_round("sweep", 5.0),
    "breakers": lambda gate: gate.breakers(),
    "cancel": lambda gate: gate.cancel([NEW.id]),
    "cede": lambda gate: gate.cede(0, 1, "global", 1),
    "check_in": lambda gate: gate.check_in(CHILD, "queue"),
    "configure": configure,
    "declare": lambda gate: gate.declare([Resource("llm")]),
    "declare_needs": lambda gate: gate.declare_needs("work", ["llm"]),
    "due_budgets": lambda gate: gate.due_budgets(10, 30.0),
    "end_budget": lambda gate: gate.end_budget(DUE),
    "end_wait": lambda gate: gate.end_wait(ROW, "run:1"),
    "explain": lambda gate: gate.explain(NEW.id),
    "finish_rebuild": lambda gate: gate.finish_rebuild("token"),
    "follow": lambda gate: gate.follow_many([NEW, CHILD]),
    "force_breaker": lambda gate: gate.force_breaker("llm", None, "open"),
    "forget": lambda gate: gate.forget(NEW.id, 1),
    "give_up": lambda gate: gate.give_up(CALL),
    "free_lock": lambda gate: gate.free_lock(ROW, "run:1", "name"),
    "glance": lambda gate: gate.glance(NEW.id),
    "heartbeat": lambda gate: gate.heartbeat("worker", "default", 1, [(NEW.id, 1)]),
    "hold": lambda gate: gate.hold(CHILD, [NEW.id], 1),
    "hold_lock": lambda gate: gate.hold_locks([(ROW, 1, "run:1", "name", 1)]),
    "hold_rebuild": lambda gate: gate.hold_rebuild("token", 10.0),
    "keep_time": lambda gate: gate.keep_time(datetime.now(UTC)),
    "leave_budgets": lambda gate: gate.leave_budgets([NEW.id]),
    "load_budget": lambda gate: gate.load_budget(LOAD),
    "leave": lambda gate: gate.leave("worker"),
    "note_woken": lambda gate: gate.note_woken(1, 0),
    "note_loss": lambda gate: gate.note_loss("token"),
    "observe": lambda gate: gate.observe("llm", "tenant", Hint(1.0, {"requests": 5})),
    "pause": lambda gate: gate.pause([NEW.id]),
    "pump_now": lambda gate: gate.pump(),
    "read_budgets": lambda gate: gate.read_budgets("tenant", "session"),
    "recheck": lambda gate: gate.recheck_waits(100, 60.0),
    "refresh_flows": lambda gate: gate.refresh_flows(),
    "release": lambda gate: gate.release(NEW.id, 1),
    "renew_calls": lambda gate: gate.renew_calls([CALL]),
    "requeue": lambda gate: gate.requeue(ROW, 1, 5.0),
    "resume": lambda gate: gate.resume(NEW.id, 1),
    "settle_call": lambda gate: gate.settle_call(CALL, Outcome.SUCCESS, {"input_tokens": 3}),
    "set_credits": lambda gate: gate.set_credits(0, 1, {"global": -1}),
    "stray_budgets": lambda gate: gate.stray_budgets(0, "0"),
    "stalls": lambda gate: gate.stalls(record=True),
    "suspend": lambda gate: gate.suspend(NEW.id, 1, wake_in=5.0, ended=[CHILD.id]),
    "survey": lambda gate: list(gate.survey()),
    "sweep": lambda gate: gate.sweep(10, 30.0),
    "take_lock": lambda gate: gate.take_lock(ROW, 1, "run:1", "name"),
    "tell_ended": lambda gate: gate.tell_ended([NEW.id]),
    "unknown": lambda gate: gate.unknown([NEW.id]),
    "unpause": lambda gate: gate.unpause([NEW.id]),
    "wake": lambda gate: gate.wake([NEW.id]),
    "withdraw": lambda gate: gate.withdraw([NEW.id]),
}

#: Those that an empty gate answers: they fill it, or need nothing from it.
FILLING = {
    "apply_limits",
    "begin_rebuild",
    "begin_round",
    "configure",
    "declare",
    "declare_needs",
    "finish_rebuild",
    "hold_rebuild",
    "note_loss",
    "note_woken",
    "set_credits",
}
