"""What an audit finds: one value per finding, its rank, and how a long list is cut to size.

Everything here is pure. Findings travel between agents as JSON objects, so each has a
``to_json`` and a ``from_json``; fields at their default are left out to keep messages small.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

JsonObject = dict[str, Any]

#: Longest message or name that a finding carries, in characters.
MAX_TEXT = 160


class Severity(StrEnum):
    """How much a finding matters, the worst first."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"

    @property
    def order(self) -> int:
        """0 for the worst, growing."""
        return tuple(Severity).index(self)

    @property
    def points(self) -> int:
        """The weight of one finding when folders are compared."""
        return {Severity.HIGH: 9, Severity.MEDIUM: 3, Severity.LOW: 1}[self]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a rule has to say about one place."""

    #: Name of the rule, as in the table of rules.
    rule: str
    #: Path of the file, relative to the audited source, with forward slashes.
    path: str
    #: Line of the place, from 1; 0 when the whole file is meant.
    line: int
    severity: Severity
    message: str
    #: Dotted name of the function or class that holds the place; empty at module level.
    symbol: str = ""
    #: Measured value over the allowed one, so that rules of different units can be ranked.
    excess: float = 1.0

    @property
    def place(self) -> str:
        """``path:line``, or only the path when the whole file is meant."""
        return f"{self.path}:{self.line}" if self.line else self.path

    def to_json(self) -> JsonObject:
        """The finding as a JSON object, without the fields that are at their default."""
        data: JsonObject = {
            "rule": self.rule,
            "path": self.path,
            "line": self.line,
            "severity": self.severity.value,
            "message": self.message,
        }
        optional = {
            "symbol": self.symbol or None,
            "excess": self.excess if self.excess != 1.0 else None,
        }
        return data | {key: value for key, value in optional.items() if value is not None}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Finding:
        """The finding that `to_json` wrote. Raises KeyError or ValueError for anything else."""
        return cls(
            rule=data["rule"],
            path=data["path"],
            line=data["line"],
            severity=Severity(data["severity"]),
            message=data["message"],
            symbol=data.get("symbol", ""),
            excess=data.get("excess", 1.0),
        )


def rank_key(finding: Finding) -> tuple[int, float, str, int, str]:
    """Sort key: worst severity first, then the largest excess, then by place."""
    place = (finding.path, finding.line, finding.rule)
    return (finding.severity.order, -finding.excess, *place)


def ranked(findings: Iterable[Finding]) -> list[Finding]:
    """All findings, the most important first; the same set always gives the same order."""
    return sorted(findings, key=rank_key)


def fit(findings: Iterable[Finding], max_bytes: int) -> tuple[list[Finding], int]:
    """The most important findings whose JSON fits in `max_bytes`, and how many were cut."""
    kept: list[Finding] = []
    everything = ranked(findings)
    room = max_bytes
    for finding in everything:
        room -= json_size(finding.to_json()) + 1
        if room < 0:
            break
        kept.append(finding)
    return kept, len(everything) - len(kept)


def json_size(value: object) -> int:
    """Bytes of `value` as ASCII JSON, the longest form that it can take on its way."""
    return len(json.dumps(value))


#: For each rule, the number of findings per severity: ``{"bare-except": {"medium": 3}}``.
Tally = dict[str, dict[str, int]]


def tally(findings: Iterable[Finding]) -> Tally:
    """Count findings by rule and severity."""
    counts: dict[str, Counter[str]] = {}
    for finding in findings:
        counts.setdefault(finding.rule, Counter())[finding.severity.value] += 1
    return {rule: dict(count) for rule, count in sorted(counts.items())}


def merge_tallies(tallies: Iterable[Tally]) -> Tally:
    """The sum of several tallies."""
    total: dict[str, Counter[str]] = {}
    for one in tallies:
        for rule, count in one.items():
            total.setdefault(rule, Counter()).update(count)
    return {rule: dict(count) for rule, count in sorted(total.items())}


def by_severity(counts: Tally) -> dict[str, int]:
    """Number of findings of each severity; every severity is present."""
    return {s.value: sum(count.get(s.value, 0) for count in counts.values()) for s in Severity}


def points(counts: Tally) -> int:
    """The weighted sum of a tally: high 9, medium 3, low 1."""
    return sum(Severity(name).points * n for name, n in by_severity(counts).items())


def clean(text: str, limit: int = MAX_TEXT) -> str:
    """`text` as one printable line of at most `limit` characters.

    Source text may hold NUL characters and lone surrogates, which JSON columns refuse.
    """
    line = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return line if len(line) <= limit else line[: limit - 1] + "\N{HORIZONTAL ELLIPSIS}"
