"""cancel: end an instance and everything below it.

The rows of the whole subtree end in one transaction, level by level from the top. A child that
is being spawned meanwhile is either seen by it or refused, because both lock the parent's row.
Subtrees that were spawned detached live on. Then the gate takes queued ones out of line and has
running ones stopped; those keep their slots until their code has really ended.
"""

from __future__ import annotations

import time

from orchestrator.domain.cancel import (
    HOW_STOPPED,
    CancelledNode,
    CancelOutcome,
    CancelReport,
    outcome_of,
    with_stops,
)
from orchestrator.domain.errors import InstanceNotFound
from orchestrator.domain.lifecycle import Reason
from orchestrator.engine.deps import Deps
from orchestrator.engine.patience import insist

#: Seconds between looks of one who waits for code to stop and hears nothing.
LOOK_AGAIN = 1.0


def cancel(deps: Deps, instance_id: str) -> CancelReport:
    """Cancel a subtree; answers what became of each instance of it."""
    ended = set(deps.store.cancel([instance_id], Reason.CANCELLED, Reason.PARENT_ENDED))
    members = deps.store.control.cancelled_tree(instance_id)
    if not members:
        raise InstanceNotFound(instance_id)
    # Where it had ended already, the gate may not have heard of it: it is told again.
    deps.gate.cancel(sorted(ended) or [one.id for one in members if one.state.is_terminal])
    nodes = []
    for one in members:
        before = one.before or one.state
        outcome = outcome_of(before, one.id in ended, one.state.is_terminal)
        shown = before if one.id in ended else one.state
        nodes.append(CancelledNode(one.id, one.agent, one.parent_id, shown, outcome))
    return CancelReport(tuple(nodes))


def await_stops(deps: Deps, report: CancelReport, timeout: float) -> CancelReport:
    """The report, once the code of all has stopped or `timeout` seconds have passed."""
    deadline = time.monotonic() + timeout
    channels = [deps.gate.channel("done", one) for one in report.stopping]
    with deps.notifier.bell(channels) as bell:
        while True:
            left = deadline - time.monotonic()
            report = _look(deps, report, left)
            left = deadline - time.monotonic()
            if not report.stopping or left <= 0:
                return report
            bell.wait(min(left, LOOK_AGAIN))
            bell.clear()


def _look(deps: Deps, report: CancelReport, patience: float) -> CancelReport:
    # In this order: whoever leaves tells how first, and then gives the slot back.
    stopping = report.stopping
    gone = insist(lambda: deps.gate.unknown(stopping), patience) if stopping else []
    told = deps.store.control.stops(stopping)
    stops = [(one, HOW_STOPPED[how]) for one, how in told.items()]
    stops += [(one, CancelOutcome.LOST) for one in gone if one not in told]
    return with_stops(report, stops)
