"""A small code base with known faults: exactly those are found, the same way every time."""

from __future__ import annotations

from pathlib import Path

from examples.audit.analysis import FileAudit, audit_file
from examples.audit.duplicates import duplicate_findings, overlaps
from examples.audit.evidence import Evidence
from examples.audit.plan import files_of
from examples.audit.review import Review, review
from tests.examples.support import write

COPIED = """\
    rows = []
    for line in text.splitlines():
        key, _, value = line.partition("=")
        if not key or key.startswith("#"):
            continue
        if key in known and known[key] != value:
            rows.append((key.strip(), value.strip(), known[key]))
        elif strict and key not in known:
            raise ValueError(f"{key} is not known")
    rows.sort(key=lambda row: (row[0], row[1]))
    return rows
"""

CODE = {
    "__init__.py": '"""A shop."""\nfrom shop.prices import price\n',
    "prices.py": '''\
        """What things cost."""
        import json
        import os  # noqa: F401


        def price(item, discounts={}, log=[]):
            # FIXME: taxes
            try:
                log.append(item)
                return item.cost - discounts[item.kind]
            except:
                return item.cost


        def compare(a, b):
            if a.cost is 0:
                return None
                print("never")
            return a.cost - b.cost
        ''',
    "first.py": f'"""Reads."""\n\n\ndef read(text, known, strict):\n    """Read it."""\n{COPIED}',
    "second.py": f'"""Reads."""\n\n\ndef load(text, known, strict):\n    """Load."""\n{COPIED}',
    "broken.py": "def f(:\n",
    "clean.py": '"""Nothing to see."""\n\nANSWER = 42\n',
}

EXPECTED = [
    ("high", "syntax-error", "broken.py", 1),
    ("high", "identity-of-literal", "prices.py", 16),
    ("medium", "duplicate-block", "second.py", 6),
    ("medium", "unused-import", "prices.py", 2),
    ("medium", "mutable-default", "prices.py", 6),
    ("medium", "marker-comment", "prices.py", 7),
    ("medium", "bare-except", "prices.py", 11),
    ("medium", "unreachable-code", "prices.py", 18),
    ("low", "missing-docstring", "prices.py", 6),
    ("low", "missing-docstring", "prices.py", 15),
]
DROPPED = {"default is only read": 1, "marked by the author": 1, "re-exported": 1}


def audited(source: Path) -> tuple[list[FileAudit], Review]:
    """The audits of all files and the review of the whole."""
    audits = [audit_file(source, path) for path in files_of(source, ".").paths]
    copies = duplicate_findings(overlaps({audit.path: audit.fingerprints for audit in audits}))
    findings = [finding for audit in audits for finding in audit.findings]
    return audits, review([*findings, *copies], Evidence(source, "."))


def test_the_faults_are_found_and_nothing_else(tmp_path: Path) -> None:
    _, review = audited(write(tmp_path, CODE))
    assert [(f.severity.value, f.rule, f.path, f.line) for f in review.findings] == EXPECTED
    assert (review.dropped, review.merged) == (DROPPED, 0)


def test_files_are_measured(tmp_path: Path) -> None:
    audits, _ = audited(write(tmp_path, CODE))
    sizes = {audit.path: (audit.lines, audit.functions) for audit in audits}
    assert sizes["prices.py"] == (20, 2)
    assert sizes["broken.py"] == (0, 0)
