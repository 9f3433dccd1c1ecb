"""The gate's scripts about budgets: teaching it those of PostgreSQL, reading and ending them."""

from __future__ import annotations

import json
from collections.abc import Sequence

from orchestrator.admission.accounts import (
    AccountLoad,
    DueBudget,
    account_of_session,
    to_budget_state,
)
from orchestrator.admission.caller import ScriptCaller
from orchestrator.domain.budget import BudgetState

#: How many live instances one call may name.
_PAGE = 2_000


class BudgetCalls(ScriptCaller):
    """One method a script."""

    def load_budget(self, load: AccountLoad) -> None:
        """Learn of a budget from PostgreSQL, and of those that are live below it."""
        text, shard = json.dumps(load.definition), self.shard_of(load.definition["tenant"])
        for start in range(0, len(load.live) or 1, _PAGE):
            ids = load.live[start : start + _PAGE]
            self._run_on(shard, "load_budget", budget=load.name, definition=text, ids=ids)

    def due_budgets(self, budget: int, hold: float) -> tuple[bool, list[DueBudget]]:
        """Claim, for `hold` seconds, budgets below which all is to be ended; are there more?"""
        replies = self._run_everywhere("due_budgets", budget=budget, hold_ms=round(hold * 1000))
        due = [
            DueBudget(*flat[start : start + 5])
            for _more, *flat in replies
            for start in range(0, len(flat), 5)
        ]
        return any(more for more, *_ in replies), due

    def end_budget(self, due: DueBudget) -> None:
        """All that was live below a due budget has been ended."""
        self._run("end_budget", tenant=due.tenant, budget=due.account)

    def read_budgets(self, tenant: str, session: str, instance_id: str = "") -> list[BudgetState]:
        """The budget an instance, or a session, stands under, and all above it."""
        chain = self._run_on(
            self.shard_of(tenant), "read_budgets", id=instance_id, tenant=tenant, session=session
        )
        return [to_budget_state(live, fields) for live, fields in chain]

    def budget_version(self, tenant: str, session: str) -> int:
        """Which version of a session's budget the gate has; 0 when it has none."""
        account = account_of_session(tenant, session)
        return int(self._ask(self.shard_of(tenant), "hget", "account", account, "version") or 0)

    def stray_budgets(self, shard: int, cursor: str) -> tuple[str, list[str]]:
        """Some of those that budgets count as live and the gate has no place of; a next cursor."""
        cursor, *ids = self._run_on(shard, "stray_budgets", cursor=cursor, count=500)
        return cursor, ids

    def leave_budgets(self, ids: Sequence[str]) -> None:
        """These have ended; no budget counts them any more."""
        self._run_split("leave_budgets", ids)

    def alerts(self, shard: int, most: int) -> list[str]:
        """What is to be told of budgets, as JSON, oldest first."""
        texts: list[str] = self._ask(shard, "zrange", "alerts", "", 0, most - 1)
        return texts

    def forget_alerts(self, shard: int, texts: Sequence[str]) -> None:
        """These have been told."""
        self._ask(shard, "zrem", "alerts", "", *texts)
