"""Arguments and results are bounded, and what was cut is counted."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from examples.audit.analysis import FileAudit
from examples.audit.duplicates import Fingerprint
from examples.audit.findings import (
    Finding,
    Severity,
    by_severity,
    clean,
    fit,
    json_size,
    merge_tallies,
    points,
    ranked,
    tally,
)
from examples.audit.results import (
    FINDINGS_BYTES,
    FolderResult,
    audit_result,
    failure,
    files_result,
    folder_result,
    marks_of,
    refusal,
    review_result,
    thinned,
)
from tests.examples.support import finding

#: What an agent may take or give unless the operator allows more.
PAYLOAD_BYTES = 262_144
LONGEST = "\N{REPLACEMENT CHARACTER}" * 160

findings = st.builds(
    Finding,
    rule=st.sampled_from(["a", "b"]),
    path=st.text(max_size=5),
    line=st.integers(0, 99),
    severity=st.sampled_from(Severity),
    message=st.text(max_size=20),
    symbol=st.text(max_size=3),
    excess=st.floats(0.5, 9),
)


@given(findings)
@settings(deadline=None)
def test_a_finding_survives_its_journey_as_json(one: Finding) -> None:
    assert Finding.from_json(json.loads(json.dumps(one.to_json()))) == one


@given(st.lists(findings, max_size=20), st.integers(0, 1500))
@settings(deadline=None)
def test_the_most_important_findings_are_kept_and_the_rest_counted(
    given_: list[Finding], room: int
) -> None:
    kept, cut = fit(given_, room)
    assert kept == ranked(given_)[: len(given_) - cut]
    assert sum(json_size(f.to_json()) + 1 for f in kept) <= room


def worst_files(count: int) -> list[FileAudit]:
    """Audits of files in which everything is as long as it can be."""
    complaints = [
        finding(path=LONGEST, line=n, message=LONGEST, symbol=LONGEST) for n in range(900)
    ]
    prints = [Fingerprint((1 << 48) - 1, 99_999, 99_999)] * 2_000
    return [FileAudit(f"{n}.py", 1, 1, complaints, prints) for n in range(count)]


def worst_folder(number: int) -> FolderResult:
    """The result of a folder with more findings than fit."""
    complaints = [finding(path=LONGEST, line=n, message=LONGEST) for n in range(2_000)]
    review = review_result(complaints, {"some reason": 3}, 2, 10)
    parts = [files_result(worst_files(1))]
    return folder_result(f"folder{number}", parts, 2_015, review, [1.23] * 65)


def test_the_results_of_all_agents_stay_below_the_bound() -> None:
    batch = files_result(worst_files(20))
    folder = worst_folder(1)
    whole = audit_result("/code", [worst_folder(n) for n in range(60)], [finding()], [1.0] * 60)
    for result in (batch, folder["review"], folder, whole):
        assert json_size(result) < PAYLOAD_BYTES
    assert batch["cut"] + len(batch["findings"]) == 20 * 900
    assert whole["cut"] + len(whole["findings"]) == 60 * 2_010 + 1


def test_a_review_s_arguments_stay_below_the_bound() -> None:
    kept, _ = fit([finding(path=LONGEST, line=n) for n in range(5_000)], FINDINGS_BYTES)
    args = {"source": LONGEST, "folder": LONGEST, "findings": [one.to_json() for one in kept]}
    assert json_size(args) < PAYLOAD_BYTES


def test_counts_are_of_everything_and_not_of_what_fits() -> None:
    folder = worst_folder(1)
    assert folder["review"]["tally"] == {"bare-except": {"medium": 2_000}}
    assert len(folder["review"]["findings"]) < 2_000
    whole = audit_result("/code", [folder, worst_folder(2)], [], [])
    assert whole["tally"] == {"bare-except": {"medium": 4_000}}
    assert (whole["dropped"], whole["merged"]) == ({"some reason": 6}, 4)
    assert (whole["files"], whole["lines"], whole["raw"]) == (2, 2, 4_030)


def test_fingerprints_survive_their_journey() -> None:
    audit = FileAudit("a.py", fingerprints=[Fingerprint(255, 1, 9), Fingerprint(1, 2, 3)])
    assert marks_of([json.loads(json.dumps(files_result([audit])))]) == {"a.py": audit.fingerprints}


def test_folders_are_ranked_by_weighted_findings_per_line() -> None:
    def folder(name: str, lines: int, *severities: Severity) -> FolderResult:
        complaints = [finding(severity=severity) for severity in severities]
        part = files_result([FileAudit("a.py", lines=lines)])
        return folder_result(name, [part], 0, review_result(complaints, {}, 0, 0), [])

    parts = [
        folder("calm", 1000, Severity.LOW),
        folder("grave", 100, Severity.HIGH, Severity.MEDIUM),
        folder("empty", 0),
    ]
    ranks = audit_result("/code", parts, [], [])["folders"]
    assert [(r["folder"], r["density"]) for r in ranks] == [
        ("grave", 120.0), ("calm", 1.0), ("empty", 0.0),
    ]  # fmt: skip  # pairs in a row


def test_failures_and_refusals_are_findings() -> None:
    lost = failure("app/", RuntimeError("out of\nmemory " + "x" * 500))
    assert (lost.rule, lost.severity, len(lost.message)) == ("audit-failed", Severity.HIGH, 160)
    assert "\n" not in lost.message
    assert refusal("odd\\xff.py").rule == "unreadable-file"


def test_timings_are_thinned_evenly() -> None:
    values = [float(n) for n in range(10_000, 0, -1)]
    kept = thinned(values, 101)
    assert len(kept) == 101
    assert (kept[0], kept[50], kept[-1]) == (1.0, 5_000.0, 10_000.0)
    assert thinned(values, 20_000) is values


def test_tallies_add_up() -> None:
    first = tally([finding(), finding(severity=Severity.HIGH)])
    second = tally([finding(), finding("unused-import")])
    total = merge_tallies([first, second])
    assert total == {"bare-except": {"medium": 2, "high": 1}, "unused-import": {"medium": 1}}
    assert by_severity(total) == {"high": 1, "medium": 3, "low": 0}
    assert points(total) == 9 + 3 * 3


def test_text_is_made_printable_and_short() -> None:
    assert clean("a\x00b\nc\ud800d") == "a\ufffdb\ufffdc\ufffdd"
    assert clean("x" * 200, 10) == "x" * 9 + "\N{HORIZONTAL ELLIPSIS}"
    assert clean("x" * 10, 10) == "x" * 10
