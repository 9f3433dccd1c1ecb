"""reconcile: the gate knows every live instance of PostgreSQL, and no ended one waits in it.

Every minute, by one of the beats. Finds what a crash between two steps left: a spawn recorded
but not followed, an attempt whose lease the gate has lost, an instance that was ended in
PostgreSQL alone, a wait that was over without a wake.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from orchestrator.domain.report import Report
from orchestrator.engine import budgets, pause
from orchestrator.engine.adopt import adopt, wake_ready
from orchestrator.engine.deps import Deps
from orchestrator.store.store import BEFORE_ALL

#: Rows of one page, and pages of one turn; the next turn goes on there.
PAGE, PAGES = 500, 20


def run_once(deps: Deps) -> Report:
    """Walk live instances, from where the last turn ended, and tell the gate of unknown ones.

    Once all of them were walked over, look at what the gate knows and PostgreSQL does not.
    """
    adopted, after = _walk(deps)
    if adopted:
        deps.gate.pump()
    deps.gate.go_on_from(after)
    if after is not None:
        return Report("reconcile", adopted=adopted, more=True)
    pause.put_back(
        deps, [one for ids in deps.gate.paused_pages(PAGE) for one in _resumed(deps, ids)]
    )
    forgotten = _forget_ended(deps) + budgets.reconcile(deps)
    return Report("reconcile", adopted=adopted, forgotten=forgotten)


def _walk(deps: Deps) -> tuple[int, str | None]:
    """Up to `PAGES` pages; answers how many were unknown, and where to go on, if anywhere."""
    adopted, after = 0, deps.gate.walk_from() or BEFORE_ALL
    for _ in range(PAGES):
        page = deps.store.live_page(after, PAGE)
        if page:
            adopted += _check_page(deps, [instance.id for instance in page])
            wake_ready(deps, page)
            after = page[-1].id
        if len(page) < PAGE:
            return adopted, None
    return adopted, after


def _resumed(deps: Deps, ids: Sequence[str]) -> Sequence[str]:
    """Those that the gate has put aside and that are not paused any more."""
    paused = deps.store.control.paused_among(ids)
    return [one for one in ids if one not in paused]


def _check_page(deps: Deps, ids: Sequence[str]) -> int:
    missing = deps.gate.unknown(ids)
    # Read again: between the page and the gate's answer an instance may have ended. One that
    # runs is given a lease, which its worker renews or which runs out.
    rows = deps.store.get_many(missing) if missing else {}
    live = [row for row in rows.values() if not row.state.is_terminal]
    adopt(deps, live)
    return len(live)


def _forget_ended(deps: Deps) -> int:
    """Take instances out of line, and out of their waits, that have ended; answers how many."""
    forgotten = 0
    for ids in chain(deps.gate.backlog_pages(PAGE), deps.gate.suspended_pages(PAGE)):
        standings = deps.store.standings(ids)
        ended = [one for one, standing in standings.items() if standing.state.is_terminal]
        deps.gate.cancel(ended)
        forgotten += len(ended)
    return forgotten
