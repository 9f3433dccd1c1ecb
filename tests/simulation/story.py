"""A schedule as something to read."""

from __future__ import annotations

from collections.abc import Iterator

from tests.simulation.schedule import Outcome
from tests.simulation.scheduler import Moment

#: Rounds in which nothing happened, and looks at the time: in every schedule, telling nothing.
_HUM = (
    *("begin_round", "due_budgets", "alerts", "lrange", "stray_budgets", "recheck", "stalls"),
    *("hmget", "hget", "version", "housekeeping", "record_round", "paused", "zscan", "unknown"),
)


def tell(outcome: Outcome, *, all_of_it: bool = False) -> Iterator[str]:
    """Line by line: when, who, what, and what was decided there."""
    yield f"seed {outcome.seed}, play {outcome.play!r}: {len(outcome.decisions)} decisions"
    for moment in outcome.story:
        if all_of_it or moment.decision is not None or _says_something(moment):
            yield _line(moment)
    for place, decision in outcome.decisions.items():
        yield f"    {place:50} {decision}"
    for one in outcome.verdict.violations:
        yield f"VIOLATED {one}"


def _says_something(moment: Moment) -> bool:
    phase, _, label = moment.label.partition(" ")
    if phase == "after" or "heartbeat" in moment.actor:
        return False
    return not label.endswith(_HUM)


def _line(moment: Moment) -> str:
    decided = f"   <== {moment.decision}" if moment.decision is not None else ""
    return f"{moment.at:8.3f} s  {moment.actor:28} {moment.label}{decided}"
