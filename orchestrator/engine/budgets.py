"""budgets: give a session its budget, read one, and teach the gate all that hold.

PostgreSQL has the definitions (sessions in `budgets`, instances in their rows) and what was used
(the ledger of calls, the rows of spawns); the gate decides by its own sums, which are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from orchestrator.admission.accounts import (
    AccountLoad,
    bounds_of,
    limits_of,
)
from orchestrator.domain.budget import Budget, BudgetState
from orchestrator.domain.errors import InvalidRequest
from orchestrator.domain.instance import NewInstance
from orchestrator.domain.names import check_label
from orchestrator.engine.deps import Deps
from orchestrator.store.budgets import StoredAccount

PAGE = 200


def set_budget(deps: Deps, session: str, tenant: str, budget: Budget) -> None:
    """Give a session this budget in place of any it had; what was used before counts."""
    check_label("a tenant", tenant)
    check_label("a session", session)
    fixed = budget.fixed(_now(deps))
    if deps.store.budgets.set(session, tenant, fixed) is None:
        raise InvalidRequest(
            "SESSION_OF_ANOTHER_TENANT",
            f"The session {session!r} belongs to another tenant than {tenant!r}.",
        )
    load(deps, [session])


def read(deps: Deps, tenant: str, session: str, instance_id: str = "") -> list[BudgetState]:
    """The budget of a session, or the nearest of an instance, and those above it."""
    return deps.gate.read_budgets(tenant, session, instance_id)


def fix_deadline(deps: Deps, new: NewInstance) -> NewInstance:
    """A spawn whose budget has a deadline in seconds: from now, by the gate's clock."""
    budget = new.budget
    if budget is None or budget.deadline is None or isinstance(budget.deadline, datetime):
        return new
    return replace(new, budget=budget.fixed(_now(deps)))


def load_all(deps: Deps, shard: int, go_on: Callable[[], bool]) -> int:
    """Teach an empty shard all budgets that hold there; answers how many.

    Stops where `go_on`, asked after each page, says no.
    """
    loaded, after = 0, ""
    while page := deps.store.budgets.sessions(after, PAGE):
        mine = [session for session, tenant in page if deps.gate.shard_of(tenant) == shard]
        loaded += load(deps, mine)
        after = page[-1][0]
        if not go_on():
            break
    return loaded


def load(deps: Deps, sessions: Sequence[str]) -> int:
    """Teach the gate the budgets that hold in these sessions."""
    accounts = deps.store.budgets.accounts(sessions) if sessions else []
    for one in to_loads(accounts):
        deps.gate.load_budget(one)
    return len(accounts)


def reconcile(deps: Deps) -> int:
    """Teach the gate what it missed of sessions' budgets, and take out who has ended.

    Answers how many it had counted as live that had ended.
    """
    after = ""
    while page := deps.store.budgets.versions(after, PAGE):
        missing = [
            session
            for session, tenant, version in page
            if deps.gate.budget_version(tenant, session) < version
        ]
        if missing:
            load(deps, missing)
        after = page[-1][0]
    return sum(_leave_strays(deps, shard) for shard in range(deps.gate.size))


def to_loads(accounts: Sequence[StoredAccount]) -> list[AccountLoad]:
    """What the gate must know of each, given all accounts of a session, each after those above."""
    limits = {one.account: limits_of(one.budget) for one in accounts}
    lent: dict[tuple[str, str], int] = {}
    subs: dict[str, int] = {}
    sources: dict[tuple[str, str], str] = {}
    for one in reversed(accounts):
        if one.above:
            subs[one.above[0]] = subs.get(one.above[0], 0) + 1
        for quantity, limit in limits[one.account].items():
            source = next((name for name in one.above if quantity in limits[name]), "")
            sources[one.account, quantity] = source
            # As in `lua/lib/account.lua`: its limit, or more where it was overdrawn.
            drawn = max(limit, one.used.get(quantity, 0) + lent.get((one.account, quantity), 0))
            if source:
                lent[source, quantity] = lent.get((source, quantity), 0) + drawn
    return [
        AccountLoad(
            one.account,
            _definition(one, subs.get(one.account, 0))
            | {
                quantity: {
                    "limit": limit,
                    "used": one.used.get(quantity, 0),
                    "lent": lent.get((one.account, quantity), 0),
                    "from": sources[one.account, quantity],
                }
                for quantity, limit in limits[one.account].items()
            },
            one.live,
        )
        for one in accounts
    ]


def _definition(one: StoredAccount, subs: int) -> dict[str, Any]:
    bounds = bounds_of(one.budget)
    above = one.above[0] if one.above else one.session_account
    if one.exhausted is not None:
        bounds["ended"] = one.exhausted
    return bounds | {
        "owner": one.owner or "",
        "tenant": one.tenant,
        "session": one.session,
        "version": one.version,
        # A session stands under nothing.
        "above": "" if one.owner is None else above,
        "base": one.base,
        # Only one that may be closed has to know; a session's never is.
        "subs": subs if one.owner else 0,
        "told": dict(one.told),
    }


def _leave_strays(deps: Deps, shard: int) -> int:
    """A rebuild counts as live whoever was when it looked; some have ended since."""
    cursor, left = "0", 0
    while True:
        cursor, ids = deps.gate.stray_budgets(shard, cursor)
        standings = deps.store.standings(ids) if ids else {}
        ended = [one for one in ids if one not in standings or standings[one].state.is_terminal]
        if ended:
            deps.gate.leave_budgets(ended)
            left += len(ended)
        if cursor == "0":
            return left


def _now(deps: Deps) -> datetime:
    return datetime.fromtimestamp(deps.gate.now() / 1000, UTC)
