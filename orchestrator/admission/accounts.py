"""Budgets as the scripts know them (`lua/lib/account.lua`): names, units, and back to values."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from orchestrator.admission.keys import tree_of
from orchestrator.domain.budget import (
    QUANTITIES,
    Budget,
    BudgetState,
    BudgetUse,
    from_units,
    in_units,
)


@dataclass(frozen=True)
class AccountLoad:
    """An account as PostgreSQL has it."""

    name: str
    #: the fields of the account; for each bounded quantity {limit, used, lent, from}
    definition: dict[str, Any]
    #: live instances below it: `=id` right under it, `-id` under one further below
    live: Sequence[str] = ()


@dataclass(frozen=True)
class DueBudget:
    """A budget below which all that is live is to be ended."""

    account: str
    #: id of the instance it belongs to; empty for a session
    owner: str
    tenant: str
    session: str
    #: the quantity that is used up, or `deadline`
    quantity: str


def account_of_session(tenant: str, session: str) -> str:
    """The account of a session's budget."""
    return f"s {tree_of(tenant, session)}"


def account_of_instance(instance_id: str) -> str:
    """The account of an instance's budget."""
    return f"i {instance_id}"


def owner_of(account: str) -> str:
    """Whose account it is, for people: `session <name>` or `instance <id>`."""
    kind, _, rest = account.partition(" ")
    if kind == "i":
        return f"instance {rest}"
    length, _, tree = rest.partition(" ")
    return f"session {tree.encode()[int(length) :].decode()}"


def bounds_of(budget: Budget) -> dict[str, Any]:
    """What of a budget is no quantity, in the gate's units."""
    bounds: dict[str, Any] = {"policy": budget.on_exhausted}
    if budget.live is not None:
        bounds["live"] = budget.live
    if budget.depth is not None:
        bounds["depth"] = budget.depth
    if budget.deadline is not None:
        bounds["deadline"] = _milliseconds(budget.deadline)
    return bounds


def limits_of(budget: Budget) -> dict[str, int]:
    """The quantities that a budget bounds, in the gate's units."""
    given = {name: getattr(budget, name) for name in QUANTITIES}
    return {name: in_units(name, value) for name, value in given.items() if value is not None}


def budget_text(budget: Budget | None) -> str:
    """The budget of a spawn as `check_in` takes it; empty for none."""
    return "" if budget is None else json.dumps(bounds_of(budget) | limits_of(budget))


def to_budget_state(live: int, flat: Sequence[str]) -> BudgetState:
    """An account as `read_budgets` answers it."""
    found = dict(zip(flat[::2], flat[1::2], strict=True))
    owner = f"instance {found['owner']}" if found["owner"] else f"session {found['session']}"
    return BudgetState(
        owner=owner,
        tenant=found["tenant"],
        session=found["session"],
        uses=tuple(_use(name, found) for name in QUANTITIES if name in found),
        live=live,
        live_limit=int(found["live"]) if "live" in found else None,
        depth=int(found["depth"]) if "depth" in found else None,
        deadline=_time(found["deadline"]) if "deadline" in found else None,
        on_exhausted=found["policy"],
        exhausted=found.get("ended"),
    )


def _use(name: str, found: dict[str, str]) -> BudgetUse:
    def amount(field: str) -> float:
        return from_units(name, int(found.get(field, 0)))

    return BudgetUse(
        name, amount(name), amount(f"{name}_used"), amount(f"{name}_held"), amount(f"{name}_lent")
    )


def _milliseconds(time: datetime | float) -> int:
    if not isinstance(time, datetime):
        raise TypeError("a deadline in seconds must be fixed first")
    return round(time.timestamp() * 1000)


def _time(milliseconds: str) -> datetime:
    return datetime.fromtimestamp(int(milliseconds) / 1000, UTC)
