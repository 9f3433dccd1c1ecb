"""What the agents of an audit hand to each other, and how the parts are put together.

All of it is JSON and bounded: an agent's arguments and its result may take 256 KiB each, so
long lists are cut at the less important end, and the count of what was cut travels along.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TypedDict

from examples.audit.analysis import FileAudit
from examples.audit.duplicates import Fingerprint
from examples.audit.findings import (
    Finding,
    JsonObject,
    Severity,
    Tally,
    clean,
    fit,
    merge_tallies,
    points,
    tally,
)

#: Bytes of findings in the result of one agent.
FINDINGS_BYTES = 96 * 1024
#: Fingerprints in one result, some 24 bytes each.
MAX_MARKS = 4_000
#: Durations of spawn calls in the root's result; more are thinned out evenly.
MAX_TIMINGS = 2_000


class FilesResult(TypedDict):
    """Of an `audit.files` agent: the analysis of one batch."""

    files: int
    lines: int
    functions: int
    findings: list[JsonObject]
    #: Findings that did not fit.
    cut: int
    #: For each path its fingerprints in the form of `packed`.
    marks: dict[str, str]


class ReviewResult(TypedDict):
    """Of an `audit.review` agent: what stands after the review of one folder."""

    findings: list[JsonObject]
    cut: int
    #: Numbers of all that stands, also of what was cut.
    tally: Tally
    dropped: dict[str, int]
    merged: int


class FolderResult(TypedDict):
    """Of an `audit.folder` agent."""

    folder: str
    files: int
    lines: int
    functions: int
    #: Findings before the review.
    raw: int
    review: ReviewResult
    #: Milliseconds that each call of `ctx.spawn` took.
    spawn_ms: list[float]


class FolderRank(TypedDict):
    """A line of the ranking of folders."""

    folder: str
    files: int
    lines: int
    tally: Tally
    #: Weighted findings per 1,000 lines.
    density: float


class AuditResult(TypedDict):
    """Of the root agent: everything that the report shows about the code."""

    source: str
    files: int
    lines: int
    functions: int
    raw: int
    folders: list[FolderRank]
    findings: list[JsonObject]
    cut: int
    tally: Tally
    dropped: dict[str, int]
    merged: int
    spawn_ms: list[float]


def files_result(audits: Sequence[FileAudit]) -> FilesResult:
    """The result of one batch."""
    findings, cut = fit((f for audit in audits for f in audit.findings), FINDINGS_BYTES)
    share = MAX_MARKS // max(len(audits), 1)
    return {
        "files": len(audits),
        "lines": sum(audit.lines for audit in audits),
        "functions": sum(audit.functions for audit in audits),
        "findings": [finding.to_json() for finding in findings],
        "cut": cut,
        "marks": {audit.path: packed(audit.fingerprints[:share]) for audit in audits},
    }


def marks_of(results: Iterable[FilesResult]) -> dict[str, list[Fingerprint]]:
    """The fingerprints of all files of a folder, by path."""
    return {path: unpacked(marks) for result in results for path, marks in result["marks"].items()}


def packed(marks: Iterable[Fingerprint]) -> str:
    """Fingerprints as one string, ``mark:first:last ...``: many small lists would be slow."""
    return " ".join(f"{mark:x}:{first}:{last}" for mark, first, last in marks)


def unpacked(text: str) -> list[Fingerprint]:
    """The fingerprints in a string that `packed` made."""
    parts = (part.split(":") for part in text.split())
    return [Fingerprint(int(mark, 16), int(first), int(last)) for mark, first, last in parts]


def findings_of(results: Iterable[FilesResult | ReviewResult]) -> list[Finding]:
    """The findings in several results, in their order."""
    return [Finding.from_json(data) for result in results for data in result["findings"]]


def review_result(
    findings: list[Finding], dropped: dict[str, int], merged: int, unseen: int
) -> ReviewResult:
    """The result of a review; `unseen` findings had been cut before it."""
    kept, cut = fit(findings, FINDINGS_BYTES)
    return {
        "findings": [finding.to_json() for finding in kept],
        "cut": cut + unseen,
        "tally": tally(findings),
        "dropped": dropped,
        "merged": merged,
    }


def folder_result(
    folder: str, parts: list[FilesResult], raw: int, review: ReviewResult, spawn_ms: list[float]
) -> FolderResult:
    """The result of one folder from those of its files and of their review."""
    return {
        "folder": folder,
        "files": sum(part["files"] for part in parts),
        "lines": sum(part["lines"] for part in parts),
        "functions": sum(part["functions"] for part in parts),
        "raw": raw,
        "review": review,
        "spawn_ms": spawn_ms,
    }


def audit_result(
    source: str, parts: list[FolderResult], extra: list[Finding], spawn_ms: list[float]
) -> AuditResult:
    """The result of the whole audit; `extra` findings belong to no folder's result."""
    reviews = [part["review"] for part in parts]
    kept, cut = fit([*findings_of(reviews), *extra], FINDINGS_BYTES)
    return {
        "source": source,
        "files": sum(part["files"] for part in parts),
        "lines": sum(part["lines"] for part in parts),
        "functions": sum(part["functions"] for part in parts),
        "raw": sum(part["raw"] for part in parts) + len(extra),
        "folders": sorted(map(_rank, parts), key=lambda rank: (-rank["density"], rank["folder"])),
        "findings": [finding.to_json() for finding in kept],
        "cut": cut + sum(review["cut"] for review in reviews),
        "tally": merge_tallies([*(review["tally"] for review in reviews), tally(extra)]),
        "dropped": _sum_counts(review["dropped"] for review in reviews),
        "merged": sum(review["merged"] for review in reviews),
        "spawn_ms": thinned([*spawn_ms, *(ms for part in parts for ms in part["spawn_ms"])]),
    }


def _rank(part: FolderResult) -> FolderRank:
    counts = part["review"]["tally"]
    return {
        "folder": part["folder"],
        "files": part["files"],
        "lines": part["lines"],
        "tally": counts,
        "density": round(1000 * points(counts) / max(part["lines"], 1), 1),
    }


def _sum_counts(counts: Iterable[dict[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for count in counts:
        total.update(count)
    return dict(sorted(total.items()))


def thinned(values: list[float], at_most: int = MAX_TIMINGS) -> list[float]:
    """At most so many of the values, taken evenly from the sorted list: percentiles stay."""
    if len(values) <= at_most:
        return values
    ordered = sorted(values)
    return [ordered[i * (len(ordered) - 1) // (at_most - 1)] for i in range(at_most)]


def failure(path: str, error: Exception) -> Finding:
    """An agent that did not deliver, as a finding: the audit goes on and says what is missing."""
    return Finding("audit-failed", path, 0, Severity.HIGH, clean(str(error)))


def refusal(path: str) -> Finding:
    """A name or folder that the plan had to leave out."""
    why = "its name is not printable text, or it cannot be opened: not analysed"
    return Finding("unreadable-file", path, 0, Severity.HIGH, why)
