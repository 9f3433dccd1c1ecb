"""What tests of budgets ask and do."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import psycopg

from orchestrator.admission.calls import Caller
from orchestrator.domain.budget import Budget, BudgetState
from orchestrator.domain.call import Amounts, Outcome
from orchestrator.domain.ids import new_id
from orchestrator.domain.instance import NewInstance, Parent, SpawnRequest
from orchestrator.engine import budgets
from orchestrator.engine.deps import Deps
from orchestrator.engine.prepare import prepare
from tests.engine.bench import Bench
from tests.gate import observe


def of_session(deps: Deps, session: str = "s") -> BudgetState:
    """The budget of a session now."""
    [found] = budgets.read(deps, "default", session)
    return found


def left(deps: Deps, session: str = "s") -> dict[str, float]:
    """What is left of each quantity of a session."""
    return {use.quantity: use.left for use in of_session(deps, session).uses}


def accounts(deps: Deps, more: str = "|_told") -> dict[str, Any]:
    """All that the gate has of budgets, without counts that are nothing, and what was told."""
    found = observe.dump(deps.gate.redis)
    return {name: _short(value, more) for name, value in found.items() if ":account" in name}


def _short(value: Any, more: str) -> Any:
    if not isinstance(value, dict):
        return value
    return {
        field: text
        for field, text in value.items()
        if not re.search(f"_(used|held|lent)=0${more}", f"{field}={text}")
    }


def alerts(deps: Deps, instance_id: str, budget: str = "session s") -> list[tuple[str, int]]:
    """Quantity and percent of the alerts of a budget that stand with an instance."""
    found = [one.detail for one in deps.store.events(instance_id) if one.kind == "budget_alert"]
    return [
        (detail["quantity"], detail["percent"])
        for detail in found
        if detail and detail["budget"] == budget
    ]


def call_of(sql: psycopg.Connection, instance_id: str, tokens: int, usd: float) -> None:
    """A line of the ledger."""
    sql.execute(
        "INSERT INTO calls (id, resource, tenant, instance_id, outcome, requests, input_tokens,"
        " output_tokens, usd, started_at) VALUES (%s, 'r', 'default', %s, 'success', 1, %s, 0, %s,"
        " now())",
        (new_id(), instance_id, tokens, usd),
    )


def check_in_only(bench: Bench, budget: Budget) -> NewInstance:
    """A spawn whose process dies right after its check-in."""
    request = SpawnRequest("echo", session="s", budget=budget)
    new = prepare(bench.deps, request)
    assert bench.deps.gate.check_in(new, "queue").refusal is None
    return new


def caller_of(parent: Parent) -> Caller:
    """A call by an instance."""
    return Caller(new_id(), "llm", "default", parent.id)


def take(bench: Bench, caller: Caller, tokens: int, usd: float = 0.0) -> str:
    """Ask for a call; answers what was decided."""
    amounts = Amounts(input_tokens=tokens, usd=usd)
    return bench.deps.gate.acquire(caller, amounts, may_wait=False).decision


def settle(bench: Bench, caller: Caller, tokens: int, usd: float = 0.0) -> None:
    """End a call that used so much."""
    bench.deps.gate.settle_call(caller, Outcome.SUCCESS, {"input_tokens": tokens, "usd": usd})


def next_of(parent: Parent, position: int = 1) -> Parent:
    """The same parent at another spawn."""
    return replace(parent, position=position)
