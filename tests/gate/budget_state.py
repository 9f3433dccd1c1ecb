"""Compares what a gate has of budgets with what their model says."""

from __future__ import annotations

import json
from typing import cast

from orchestrator.admission.keys import key
from orchestrator.domain.budget import QUANTITIES
from tests.gate import observe
from tests.gate.traced import GATE, TracedGate
from tests.support.budget_model import Account, BudgetModel

_KINDS = ("used", "held", "lent")


def compare(gate: TracedGate, model: BudgetModel) -> None:
    """All that Redis has of budgets is what the model says."""
    found = observe.dump(gate.redis, drain=True)
    gate.take_calls()
    prefix = key(GATE, "account")
    accounts = {name.removeprefix(prefix) for name in found if name.startswith(prefix)}
    assert accounts == {*model.accounts}
    assert found.get(key(GATE, "accounts"), set()) == {*model.accounts}
    for name, one in model.accounts.items():
        _compare_account(model, one, cast(dict[str, str], found[prefix + name]))
        assert found.get(key(GATE, "account_live", name), set()) == one.live
    known = {one for account in model.accounts.values() for one in account.live}
    assert set(found.get(key(GATE, "account_of"), ())) == known
    assert found.get(key(GATE, "accounts_due"), {}) == model.due
    texts = cast(dict[str, float], found.get(key(GATE, "alerts"), {}))
    assert {_alert(text) for text in texts} == model.alerts
    held = {name for name, call in model.calls.items() if call.is_held}
    assert set(found.get(key(GATE, "account_calls"), ())) == held


def _compare_account(model: BudgetModel, one: Account, fields: dict[str, str]) -> None:
    assert fields.get("ended") == one.ended, (fields, one)
    assert int(fields["version"]) == one.version
    for quantity in QUANTITIES:
        assert (quantity in fields) == (quantity in one.limits)
        if quantity in one.limits:
            sums = [int(fields.get(f"{quantity}_{kind}", 0)) for kind in _KINDS]
            parts = (model.used, model.held, model.lent)
            wanted = [part(one, quantity) for part in parts]
            assert sums == wanted, (one.name, quantity, sums, wanted)
            assert int(fields[quantity]) == one.limits[quantity]
            assert fields[f"{quantity}_from"] == one.sources.get(quantity, "")
    told = {name[:-5]: int(text) for name, text in fields.items() if name.endswith("_told")}
    assert told == one.told, one.name
    if one.owner and one.policy != "warn":
        # Never above its limit, but for debts.
        assert one.live_limit is None or len(one.live) <= one.live_limit


def _alert(text: str) -> tuple[str, int, str, int]:
    found = json.loads(text)
    return found["account"], found["version"], found["quantity"], found["percent"]
