"""The second pair of eyes: false positives out, doubles joined, the rest ranked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

from examples.audit.evidence import Evidence, reason_to_drop
from examples.audit.findings import Finding, Severity, clean, ranked

#: Rules that measure the shape of one function: several of them are one finding.
SHAPE_RULES = frozenset({"long-function", "complex-function", "deep-nesting", "many-parameters"})
#: With this many complaints about its shape a function is a grave finding.
GRAVE_SHAPE = 3


@dataclass(frozen=True, slots=True)
class Review:
    """What is left of a folder's findings."""

    #: Ranked, the most important first.
    findings: list[Finding]
    #: How many were dropped, by reason.
    dropped: dict[str, int]
    #: How many were joined to another finding about the same place.
    merged: int


def review(findings: Iterable[Finding], evidence: Evidence) -> Review:
    """Check every finding against the source, join doubles, and rank what stands."""
    distinct = list(dict.fromkeys(findings))
    reasons = [reason_to_drop(finding, evidence) for finding in distinct]
    standing = [f for f, reason in zip(distinct, reasons, strict=True) if reason is None]
    dropped = Counter(reason for reason in reasons if reason is not None)
    joined = join_shapes(standing)
    return Review(ranked(joined), dict(sorted(dropped.items())), len(standing) - len(joined))


def join_shapes(findings: Iterable[Finding]) -> list[Finding]:
    """One finding for each function whose shape is at fault, however many rules say so."""
    others: list[Finding] = []
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        if finding.rule in SHAPE_RULES:
            groups.setdefault((finding.path, finding.symbol), []).append(finding)
        else:
            others.append(finding)
    return others + [_join(group) for group in groups.values()]


def _join(group: list[Finding]) -> Finding:
    """The most important of the group, which also tells what the others measured."""
    first, *rest = ranked(group)
    if not rest:
        return first
    message = "; ".join([first.message, *(other.message for other in rest)])
    severity = Severity.HIGH if len(group) >= GRAVE_SHAPE else first.severity
    return replace(first, severity=severity, message=clean(message))
