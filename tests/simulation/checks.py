"""What must hold at the end of a schedule."""

from __future__ import annotations

from collections import Counter

from tests.rules.evidence import Evidence
from tests.rules.judge import Verdict, Violation, judge
from tests.simulation.peace import peace
from tests.simulation.stage import Stage


def check(stage: Stage, rested: bool, broken: list[str]) -> Verdict:
    """All that was wrong in a schedule that is over: by the rules, and by its play."""
    evidence = stage.evidence(at_rest=True)
    verdict = stage.verdict + judge(evidence)
    if not rested and not verdict.violations:
        verdict.violations.append(Violation("REST", "", "it never came to rest"))
    verdict.violations.extend(Violation("BROKEN", "", what) for what in broken)
    seconds = stage.clock.seconds
    return (
        verdict
        + _ends(stage, evidence)
        + peace(evidence, stage.faults(), seconds, stage.play.takes)
    )


def _ends(stage: Stage, evidence: Evidence) -> Verdict:
    """Each root ended as its play says, and there is one of each."""
    rows = {row["id"]: row for row in evidence.instances}
    violations = []
    for name, states in stage.play.ends.items():
        one = stage.troupe.ids.get(name, "")
        row = rows.get(one)
        found = (row["state"], row["reason"], row["error"]) if row else "not spawned"
        if row is None or row["state"] not in states:
            violations.append(Violation("END", one, f"{name} is {found}, not {states}"))
    roots = Counter(row["depth"] for row in evidence.instances)[0]
    if roots != len(stage.play.ends):
        violations.append(Violation("END", "", f"there are {roots} roots"))
    return Verdict({"END": len(stage.play.ends)}, violations)
