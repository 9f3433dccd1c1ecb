"""Runs one attempt of an instance, and writes what became of it; see `engine/execute.py`."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from orchestrator.agents.async_context import AsyncContext
from orchestrator.agents.context import Context
from orchestrator.agents.registry import RegisteredAgent
from orchestrator.domain.failure import with_attempts
from orchestrator.domain.instance import Instance
from orchestrator.domain.journal import Rewind
from orchestrator.domain.lifecycle import Reason, State
from orchestrator.engine import dependencies
from orchestrator.engine.execute import Completed, Failed, HandedBack, Outcome
from orchestrator.engine.running import Continued, Left, Run, Suspended
from orchestrator.engine.suspend import reason_of
from orchestrator.testing.backend import AsyncBackend, VirtualBackend
from orchestrator.testing.faults import Died
from orchestrator.testing.row import Row
from workers.runtimes.coroutine import AsyncRun
from workers.runtimes.outcomes import outcome_of

if TYPE_CHECKING:
    from orchestrator.testing.stage import Stage


def run_attempt(stage: Stage, row: Row) -> None:
    """Run the function of an instance until it returns, raises, or is left."""
    if _lacks_dependency(stage, row):
        return
    registered = stage.agents.to_run(row.instance.agent)
    now = stage.world.now
    row.set(
        state=State.RUNNING,
        reason=None,
        wait=None,
        attempt=row.instance.attempt + 1,
        started_at=row.instance.started_at or now,
        not_before=None,
        worker="harness",
    )
    row.run = Run(row.instance)
    try:
        outcome = _outcome(stage, row, row.run, registered)
    finally:
        row.run = None
    if row.is_live:
        _finish(stage, row, outcome)


def _outcome(stage: Stage, row: Row, run: Run, registered: RegisteredAgent) -> Outcome:
    kind = AsyncBackend if registered.is_async else VirtualBackend
    backend = kind(stage, row, run)
    context = Context(backend)
    history = context.history
    backend.position = lambda: history.position

    def code() -> object:
        try:
            value = _call(stage, registered, context, run)
        except BaseException as error:
            row.exception = error
            raise
        if stage.replay_always:
            backend.repeat_from(history.position)
        return value

    outcome = outcome_of(run, history, code, stage.rules.max_payload_bytes)
    if isinstance(row.exception, KeyboardInterrupt):
        raise row.exception
    return outcome


def _call(stage: Stage, registered: RegisteredAgent, context: Context, run: Run) -> Any:
    if not registered.is_async:
        return registered.function(context, **run.instance.args)
    tasks = AsyncRun(run, stage.loops.current(), context.history)
    given = AsyncContext(context, tasks)
    return tasks.run(lambda: registered.function(given, **run.instance.args))


def _lacks_dependency(stage: Stage, row: Row) -> bool:
    """Whether it never runs, because something it was to start after has no result."""
    instance = row.instance
    if instance.attempt or instance.depends_on is None or instance.depends_on.on_failure == "run":
        return False
    failed = dependencies.look(stage.rules, instance).failed
    if failed:
        fault = {"type": "DependencyFailed", "message": dependencies.message(instance, failed)}
        stage.world.end(row, State.FAILED, Reason.DEPENDENCY_FAILED, error=fault)
    return bool(failed)


def _finish(stage: Stage, row: Row, outcome: Outcome) -> None:
    instance, world = row.instance, stage.world
    match outcome:
        case Completed(result):
            world.end(row, State.COMPLETED, result=json.loads(result))
        case Failed():
            _fail(stage, row, outcome)
        case HandedBack(reason, delay):
            world.locks.free_all(row.id)
            row.queue(reason, not_before=world.now + timedelta(seconds=delay))
        case Suspended():
            row.write(outcome.entries)
            row.set(state=State.WAITING, wait=outcome.wait, reason=reason_of(outcome.wait))
        case Continued():
            args, history = json.loads(outcome.new_args), instance.history + 1
            row.queue(Reason.CONTINUED, args=args, history=history)
            world.locks.free_all(row.id)
            world.take_back(row, Rewind(0))
        case Died():
            world.locks.free_all(row.id)
            row.queue(Reason.LEASE_EXPIRED)
        case Left():
            row.queue(Reason.PREEMPTED)


def _fail(stage: Stage, row: Row, failed: Failed) -> None:
    world, instance = stage.world, row.instance
    fault = with_attempts(failed.error, instance.error, instance.attempt, world.now)
    changes = {"error": fault, "failures": instance.failures + 1}
    if not _may_retry(instance, failed):
        world.end(row, State.FAILED, failed.reason, **changes)
        return
    delay = instance.retry.delay(instance.failures + 1, world.random)
    world.locks.free_all(row.id)
    row.queue(Reason.RETRY, not_before=world.now + timedelta(seconds=delay), **changes)
    if failed.rewind is not None:
        world.take_back(row, failed.rewind)


def _may_retry(instance: Instance, failed: Failed) -> bool:
    kinds = failed.kinds or str(failed.error.get("type", ""))
    return failed.retryable and instance.retry.allows(instance.failures + 1, kinds)
