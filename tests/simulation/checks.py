"""What must hold at the end of a schedule."""

from __future__ import annotations

from tests.rules.judge import Verdict, Violation, judge
from tests.simulation.stage import Stage


def check(stage: Stage, rested: bool, broken: list[str]) -> Verdict:
    """All that was wrong in a schedule that is over: by the rules, and by its play."""
    verdict = stage.verdict + judge(stage.evidence(at_rest=True))
    if not rested and not verdict.violations:
        verdict.violations.append(Violation("REST", "", "it never came to rest"))
    verdict.violations.extend(Violation("BROKEN", "", what) for what in broken)
    return verdict + _ends(stage)


def _ends(stage: Stage) -> Verdict:
    """Each root ended as its play says."""
    rows = {row["id"]: row for row in stage.evidence(at_rest=True).instances}
    violations = []
    for name, states in stage.play.ends.items():
        one = stage.troupe.ids.get(name, "")
        row = rows.get(one)
        found = (row["state"], row["reason"], row["error"]) if row else "not spawned"
        if row is None or row["state"] not in states:
            violations.append(Violation("END", one, f"{name} is {found}, not {states}"))
    return Verdict({"END": len(stage.play.ends)}, violations)
