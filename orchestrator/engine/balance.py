"""balance: shards lend each other what they do not need of the limits that hold for all tenants.

Each shard has a part of such a limit, and the parts together are the limit. One that is short
borrows from one that is not: first the lender's part is lowered, as far as it is free, then the
loan is recorded in PostgreSQL, and only then the borrower's part is raised. So the parts are never
more than the whole together, whatever dies between two steps; a step that is missing is made up
for by the next round, which begins with writing down for every shard what PostgreSQL has.
"""

from __future__ import annotations

from orchestrator.domain.credit import plan
from orchestrator.domain.report import Report
from orchestrator.engine.deps import Deps
from orchestrator.store.credits import Ledger
from orchestrator.telemetry.logging import get_logger

log = get_logger("orchestrator.balance")


def run_once(deps: Deps) -> Report:
    """Move what is free to where it is short."""
    if deps.gate.size == 1:
        return Report("balance")
    with deps.store.credits.alone() as ledger:
        _write(deps, ledger)
        moved = sum(_move(deps, ledger, field) for field in deps.gate.dealt_fields())
    if moved:
        # Recorded by now: the borrowers may use it.
        with deps.store.credits.alone() as ledger:
            _write(deps, ledger)
        deps.gate.refresh_flows()
        deps.gate.pump()
        log.info("credits.moved", slots=moved)
    return Report("balance", moved=moved)


def restore(deps: Deps, shard: int) -> None:
    """Tell a shard that is being rebuilt what it has borrowed and lent."""
    if deps.gate.size > 1:
        with deps.store.credits.alone() as ledger:
            deps.gate.set_credits(shard, ledger.version, ledger.of_shards()[shard])


def _write(deps: Deps, ledger: Ledger) -> None:
    by_shard = ledger.of_shards()
    for shard in range(deps.gate.size):
        deps.gate.set_credits(shard, ledger.version, by_shard[shard])


def _move(deps: Deps, ledger: Ledger, field: str) -> int:
    """What was taken from lenders and recorded for borrowers, of one limit."""
    moved = 0
    for transfer in plan(deps.gate.loads(field)):
        given = deps.gate.cede(transfer.lender, ledger.version, field, transfer.amount)
        if given:
            ledger.move(field, transfer.lender, transfer.borrower, given)
            moved += given
    return moved
