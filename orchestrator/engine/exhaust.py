"""exhaust: end what has run out of its budget or its time, and tell of what runs low.

Every few seconds, by one of the beats.
"""

from __future__ import annotations

import json
from typing import Any

from orchestrator.admission.accounts import DueBudget, owner_of
from orchestrator.domain.budget import QUANTITIES, from_units
from orchestrator.domain.report import Report
from orchestrator.engine.deps import Deps
from orchestrator.telemetry.logging import get_logger

log = get_logger("orchestrator.exhaust")

#: How many budgets one round ends, roots of one session, and alerts it tells.
BUDGET = 100
ROOTS = 500
#: Seconds for which a claimed budget is this round's alone.
HOLD = 30.0


def run_once(deps: Deps) -> Report:
    """Fail the live subtrees of due budgets; write an event for each alert."""
    more, due = deps.gate.due_budgets(BUDGET, HOLD)
    ended = sum(_end(deps, one) for one in due)
    alerts = sum(_tell_all(deps, shard) for shard in range(deps.gate.size))
    return Report("exhaust", exhausted=ended, alerts=alerts, more=more)


def _end(deps: Deps, due: DueBudget) -> int:
    """Fail all that is live below a budget; answers how many there were."""
    owner = owner_of(due.account)
    message = f"The budget of {owner} is used up ({due.quantity})."
    roots = deps.store.budgets.live_roots(due.session, due.tenant, ROOTS)
    tops = [due.owner] if due.owner else roots
    ended = deps.store.budgets.fail(tops, message) if tops else []
    if not ended and due.owner:
        # They ended before: the gate may not have heard of it, so it is told again.
        subtree = deps.store.subtree(due.owner)
        deps.gate.cancel([one.id for one in subtree if one.state.is_terminal])
    deps.gate.cancel(ended)
    if due.owner or len(roots) < ROOTS:
        if not due.owner and due.quantity != "deadline":
            deps.store.budgets.exhaust(due.session, due.tenant, due.quantity)
        deps.gate.end_budget(due)
    log.info("budget.exhausted", owner=owner, quantity=due.quantity, ended=len(ended))
    return len(ended)


def _tell_all(deps: Deps, shard: int) -> int:
    texts = deps.gate.alerts(shard, BUDGET)
    told = [text for text in texts if _tell(deps, json.loads(text))]
    if told:
        deps.gate.forget_alerts(shard, told)
    return len(told)


def _tell(deps: Deps, alert: dict[str, Any]) -> bool:
    """Write the event; False when nothing is recorded yet that it could stand with."""
    instance_id = alert["owner"] or deps.store.budgets.first_of(alert["session"], alert["tenant"])
    if instance_id is None:
        return False
    detail = {"budget": owner_of(alert["account"]), **_amounts(alert)}
    return deps.store.budgets.tell(alert, instance_id, detail)


def _amounts(alert: dict[str, Any]) -> dict[str, Any]:
    quantity, percent = alert["quantity"], alert["percent"]
    found: dict[str, Any] = {"quantity": quantity, "percent": percent}
    if quantity in QUANTITIES:
        found |= {name: from_units(quantity, int(alert[name])) for name in ("limit", "used")}
    return found
