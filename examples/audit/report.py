"""The report as files: Markdown for reading in a terminal or a review, HTML for looking at."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from examples.audit.findings import Finding, by_severity
from examples.audit.measures import Percentiles, readable
from examples.audit.page import Report, html_page
from examples.audit.results import AuditResult
from examples.audit.rules import ABOUT
from examples.audit.summary import AuditSummary

#: Findings listed in the Markdown report; the page shows more.
LISTED_FINDINGS = 60
# A backslash before any of these takes away its meaning within a line of Markdown.
_SPECIAL = re.compile(r"([\\`*_\[\]|~$])")


def report_paths(out: Path) -> tuple[Path, Path]:
    """Where the Markdown and the HTML report lie in the folder `out`."""
    return out / "audit.md", out / "audit.html"


def write_reports(report: Report, out: Path) -> None:
    """Write both files into `out`, which is made if it is not there."""
    out.mkdir(parents=True, exist_ok=True)
    markdown, html = report_paths(out)
    markdown.write_text(markdown_page(report), "utf-8")
    html.write_text(html_page(report), "utf-8")


def source_title(source: Path) -> str:
    """The name of the source, with its version when it is an installed package."""
    pattern = f"{source.name}-*.dist-info"
    versions = [path.name.split("-")[1] for path in source.parent.glob(pattern)]
    return " ".join([source.name, *(v.removesuffix(".dist") for v in versions[:1])])


def markdown_page(report: Report) -> str:
    """The whole report in Markdown, tables in the widely understood GitHub form."""
    lines = [f"# Audit of {escape(report.title)}", ""]
    lines += [f"**Not complete:** {escape(problem)}\n" for problem in report.summary.problems]
    lines += _numbers(report.summary)
    if report.result is not None:
        lines += _rules(report.result)
        lines += _findings(report.result)
        lines += _folders(report.result)
        lines += _dropped(report.result)
    return "\n".join(lines).rstrip() + "\n"


def escape(text: object) -> str:
    """Text in which neither Markdown nor the HTML inside it means anything."""
    safe = str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _SPECIAL.sub(r"\\\1", " ".join(safe.split()))


def table(heads: Iterable[str], rows: Iterable[Iterable[object]]) -> Iterator[str]:
    """The lines of a table; numbers are set to the right. Cells are escaped."""
    titles = list(heads)
    body = [list(row) for row in rows]
    first = body[0] if body else titles
    sides = ["---:" if isinstance(cell, int | float) else "---" for cell in first]
    yield _row(map(escape, titles))
    yield _row(sides)
    yield from (_row(map(_cell, row)) for row in body)
    yield ""


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(value: object) -> str:
    return f"{value:,}" if isinstance(value, int | float) else escape(value)


def _numbers(summary: AuditSummary) -> Iterator[str]:
    states = ", ".join(f"{count} {state}" for state, count in summary.by_state.items())
    found = ", ".join(f"{count} {name}" for name, count in summary.findings.items())
    rows = [
        ("Findings", f"{sum(summary.findings.values()):,} ({found})"),
        ("Dropped by the review", f"{summary.dropped:,}"),
        ("Files", f"{summary.files:,} ({summary.lines:,} lines)"),
        ("Instances", f"{summary.instances:,} ({states})"),
        ("Most at once", f"{summary.most_at_once}"),
        ("Throughput", f"{summary.throughput:.1f} instances/s over {summary.wall_s:.1f} s"),
        ("Spawn call", shown(summary.spawn_ms, 1, "ms")),
        ("Queue wait, slot included", shown(summary.queue_wait_s, 1, "s")),
        ("Run of a leaf", shown(summary.run_s, 1000, "ms")),
    ]
    yield from table(("Measure", "Value"), rows)


def shown(measured: Percentiles | None, scale: float, unit: str) -> str:
    """Percentiles as text: ``p50 1.2 / p95 3.4 / p99 5.6 ms``."""
    if measured is None:
        return "not measured"
    values = (("p50", measured.p50), ("p95", measured.p95), ("p99", measured.p99))
    return " / ".join(f"{name} {readable(scale * value)}" for name, value in values) + f" {unit}"


def _rules(result: AuditResult) -> Iterator[str]:
    rows = [
        (rule, ABOUT.get(rule, ""), *by_severity({rule: count}).values())
        for rule, count in sorted(result["tally"].items(), key=lambda i: -sum(i[1].values()))
    ]
    yield from ("## Findings by rule", "")
    yield from table(("Rule", "About", "High", "Medium", "Low"), rows)


def _findings(result: AuditResult) -> Iterator[str]:
    findings = [Finding.from_json(data) for data in result["findings"][:LISTED_FINDINGS]]
    total = sum(by_severity(result["tally"]).values())
    rows = [(f.severity.value, f.rule, f.place, f.symbol, f.message) for f in findings]
    yield from (f"## Most important findings ({len(findings)} of {total:,})", "")
    yield from table(("Severity", "Rule", "Where", "In", "Finding"), rows)


def _folders(result: AuditResult) -> Iterator[str]:
    rows = [
        (f"{rank['folder']}/", rank["files"], rank["lines"], *by_severity(rank["tally"]).values(),
         rank["density"])
        for rank in result["folders"]
    ]  # fmt: skip  # one row in one place
    yield from ("## Folders", "", "Density: weighted findings (9, 3, 1) per 1,000 lines.", "")
    yield from table(("Folder", "Files", "Lines", "High", "Medium", "Low", "Density"), rows)


def _dropped(result: AuditResult) -> Iterator[str]:
    if result["dropped"]:
        yield from ("## Why the review dropped findings", "")
        yield from table(("Reason", "Findings"), result["dropped"].items())
