"""tidy: remove messages that nobody can receive any more, and what housekeeping did long ago.

Every hour, by one of the beats.

What is old enough goes, unless one of those that it is for still lives: that one may yet receive
it, or receive it again. Agents' journals keep what they have received.
"""

from __future__ import annotations

from orchestrator.domain.report import Report
from orchestrator.engine.deps import Deps

#: Messages that are looked at in one transaction, and such pages in one round.
PAGE, PAGES = 1_000, 50


def run_once(deps: Deps) -> Report:
    """Walk the oldest messages, in the order in which they were sent."""
    after = removed = 0
    for _ in range(PAGES):
        page = deps.store.messages.remove(after, deps.message_retention, PAGE)
        removed += page.removed
        if page.last is None:
            break
        after = page.last
    removed += deps.store.housekeeping.remove(deps.message_retention, PAGE * PAGES)
    return Report("tidy", removed=removed)
