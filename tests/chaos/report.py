"""What a run found, as tables; and the folder that a breach leaves."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

from tests.chaos.plan import KINDS
from tests.chaos.run import Found
from tests.chaos.times import Times, quantiles
from tests.rules.judge import told

RULES = {
    "R1": "nothing accepted is lost",
    "R2": "no limit is exceeded",
    "R3": "slots are leases, none is left",
    "R4": "only the newest attempt writes",
    "R5": "nothing lives below what has ended",
    "R6": "nobody waits in a circle",
    "R7": "nothing waits for ever",
    "R8": "one event for each change",
    "R9": "a refusal leaves nothing",
    "R10": "an empty gate gives nothing",
}


def summary(found: Found) -> str:
    """The run as a page of Markdown."""
    ends = ", ".join(f"{count:,} {state}" for state, count in sorted(found.ends.items()))
    rows = len(found.evidence.instances)
    lines = [
        f"Seed {found.wanted.seed}: {rows:,} instances ({ends}) in {found.seconds:.0f} s; "
        f"{len(found.suffered)} faults; {sum(found.verdict.checks.values()):,} checks, "
        f"{len(found.verdict.violations)} violations. {found.looks} looks while all was under "
        f"way, {found.closed} of them at a closed gate; {found.blind} more met a server that was "
        "away. "
        f"{len(found.evidence.accepted):,} spawns were accepted and "
        f"{len(found.evidence.refused):,} refused; "
        f"{len(found.evidence.effects):,} actions; {len(found.evidence.events):,} events.",
        "",
        *_rules(found),
        "",
        *_faults(found),
    ]
    return "\n".join(lines) + "\n"


def _rules(found: Found) -> list[str]:
    broken = Counter(one.rule for one in found.verdict.violations)
    return [
        "| rule | | checks | violations |",
        "|---|---|---|---|",
        *(
            f"| {rule} | {what} | {found.verdict.checks.get(rule, 0):,} | {broken[rule]} |"
            for rule, what in RULES.items()
        ),
    ]


def _faults(found: Found) -> list[str]:
    return [
        "Seconds, p50 / p99 / max.",
        "",
        "| fault | times | noticed after | run again after | anybody begins after its end |",
        "|---|---|---|---|---|",
        *(_fault(kind, found.times.get(kind, Times())) for kind in KINDS),
    ]


def _fault(kind: str, times: Times) -> str:
    figures = (quantiles(one) for one in (times.noticed, times.again, times.going_on))
    return f"| {kind} | {times.count} | {' | '.join(figures)} |"


def keep(found: Found, folder: Path, kept: Path) -> str:
    """Copy all that explains a breach; answers how to do it again."""
    kept.mkdir(parents=True, exist_ok=True)
    for name in ("logs", "ledger", "servers/logs"):
        shutil.copytree(folder / name, kept / name, dirs_exist_ok=True)
    shutil.copy(folder / "plan", kept / "plan")
    (kept / "violations").write_text(told(found.verdict.violations, 1000) + "\n")
    for name, evidence in (("evidence.jsonl", found.evidence), ("first.jsonl", found.first)):
        if evidence is not None:
            (kept / name).write_text("".join(line + "\n" for line in evidence.to_lines()))
    seed = found.wanted.seed
    return f"python -m tests.chaos --seed {seed} --plan {kept / 'plan'}"
