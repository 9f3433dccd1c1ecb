"""sweep: judge what has run out. Every few seconds, by one of the beats."""

from __future__ import annotations

from orchestrator.domain.lifecycle import Reason, State
from orchestrator.domain.report import Report
from orchestrator.engine import reconcile
from orchestrator.engine.adopt import adopt
from orchestrator.engine.deps import Deps
from orchestrator.telemetry.logging import get_logger

log = get_logger("orchestrator.sweep")

#: How many places one round looks at.
BUDGET = 200
_TOO_LATE = {"type": "QueueTimeout", "message": "did not start within its expires_after"}
#: Turns of a reconciliation that follow each other at once; the rest comes with its own rounds.
MOST_TURNS = 50
#: Seconds for which a claimed place is this round's alone.
HOLD = 30.0


def run_once(deps: Deps) -> Report:
    """Give each expired attempt's instance another attempt, fail it, or forget the place."""
    held_back = deps.gate.keep_time(deps.store.clock())
    if held_back:
        log.warning("gate.clock_caught_up", seconds=round(held_back, 3))
    if deps.gate.has_new_server():
        # It may know less than was decided: what it does not know at all it is told at once.
        log.warning("gate.new_server", adopted=_tell_all(deps))
    sweep = deps.gate.sweep(BUDGET, HOLD)
    requeued = failed = forgotten = 0
    for instance_id, attempt, why in sweep.expired:
        if why == Reason.QUEUE_TIMEOUT and deps.store.end_waiting(instance_id, _TOO_LATE):
            deps.gate.forget(instance_id, attempt)
            failed += 1
            continue
        verdict = deps.store.expire(instance_id, attempt)
        if verdict is None:
            standing = deps.store.standings([instance_id]).get(instance_id)
            ended = standing is None or standing.state.is_terminal
            deps.gate.forget(instance_id, attempt, recorded=standing is not None, ended=ended)
            forgotten += 1
            continue
        instance, below = verdict
        if instance.state.is_terminal:
            deps.gate.cancel(below)
            deps.gate.forget(instance_id, attempt)
            failed += 1
        elif instance.state is State.WAITING or (instance.depends_on and not instance.attempt):
            # Whoever put it to sleep, or was to have it held, died before the gate was told.
            adopt(deps, [instance])
            requeued += 1
        else:
            deps.gate.requeue(instance, instance.attempt)
            requeued += 1
    return Report(
        "sweep",
        expired=len(sweep.expired),
        requeued=requeued,
        failed=failed,
        forgotten=forgotten,
        more=sweep.more,
    )


def _tell_all(deps: Deps) -> int:
    """All turns of a reconciliation, from the beginning; answers how many were unknown."""
    deps.gate.go_on_from(None)
    adopted = 0
    for _ in range(MOST_TURNS):
        report = reconcile.run_once(deps)
        adopted += report.adopted
        if not report.more:
            break
    return adopted
