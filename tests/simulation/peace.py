"""What the rules do not ask for, but holds where nothing, or nothing bad, goes wrong.

Housekeeping mends what a mistake in a verb leaves undone, a minute later. So where nothing has gone
wrong, nothing may have had to be mended.
"""

from __future__ import annotations

from collections.abc import Sequence, Set

from orchestrator.domain.limits import Limits
from tests.rules.evidence import Evidence, Row
from tests.rules.judge import Verdict, Violation

#: After these, whoever runs is still within the limits: nobody's lease has run out.
HARMLESS = {"repeat", "deaf", "empty", "lost", "refuse", "delay", "lose"}
#: Reasons for which somebody had to be found by housekeeping.
_MENDED = ("LEASE_EXPIRED", "MESSAGE_LOST")
#: Seconds more that it may take where Redis was emptied: a lease, for locks, and a heartbeat.
_MORE = 25.0


#: How many run, by session.
RUNNING = "SELECT session, count(*) AS running FROM instances WHERE state = 'running' GROUP BY 1"


def crowding(rows: Sequence[Row], limits: Limits) -> Verdict:
    """By their rows, not more run than may."""
    most = limits.session_concurrency
    return Verdict(
        {"PEACE": 1},
        [
            Violation("R2", "", f"{row['running']} of {row['session']} run, the limit is {most}")
            for row in rows
            if row["running"] > most
        ],
    )


def peace(evidence: Evidence, faults: Set[str], seconds: float, takes: float) -> Verdict:
    """Where nothing went wrong, all was over in time and nobody was lost on the way."""
    if faults - {"empty"}:
        return Verdict({}, [])
    late = seconds > takes + (_MORE if faults else 0.0)
    violations = [Violation("LATE", "", f"took {seconds:.0f} s, not {takes:.0f}")] if late else []
    if not faults:
        violations += [
            Violation("PEACE", event["instance_id"], f"{event['reason']} where nothing went wrong")
            for event in evidence.events
            if event["reason"] in _MENDED
        ]
    return Verdict({"PEACE": 1 + len(evidence.events)}, violations)
