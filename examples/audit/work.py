"""What the agents compute: functions of JSON values that can run in any process."""

from __future__ import annotations

from pathlib import Path

from examples.audit import results as r
from examples.audit.analysis import audit_file
from examples.audit.duplicates import duplicate_findings, overlaps
from examples.audit.evidence import Evidence
from examples.audit.findings import Finding, JsonObject, fit
from examples.audit.review import review


def analyse(source: str, paths: list[str]) -> r.FilesResult:
    """Analyse some files, given by their paths relative to `source`."""
    return r.files_result([audit_file(Path(source), path) for path in paths])


def gather(parts: list[r.FilesResult], extra: list[Finding]) -> tuple[list[JsonObject], int]:
    """All findings about the files of a folder, and the number of those that were cut.

    What the files have in common is found here; `extra` findings come from elsewhere.
    """
    copies = duplicate_findings(overlaps(r.marks_of(parts)))
    kept, cut = fit([*r.findings_of(parts), *copies, *extra], r.FINDINGS_BYTES)
    return [finding.to_json() for finding in kept], cut + sum(part["cut"] for part in parts)


def judge(source: str, folder: str, findings: list[JsonObject], unseen: int) -> r.ReviewResult:
    """Review the findings about the files of one folder; `unseen` others had been cut."""
    given = (Finding.from_json(data) for data in findings)
    outcome = review(given, Evidence(Path(source), folder))
    return r.review_result(outcome.findings, outcome.dropped, outcome.merged, unseen)
