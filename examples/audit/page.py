"""The report as one HTML page that needs nothing from anywhere: no script, no font, no image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from examples.audit import charts
from examples.audit.execution import Execution, flat
from examples.audit.findings import Finding, Severity, by_severity
from examples.audit.markup import Markup, join, tag
from examples.audit.measures import Percentiles, readable
from examples.audit.results import AuditResult
from examples.audit.rules import ABOUT
from examples.audit.summary import AuditSummary

#: Rows of the table of findings; all others are counted.
SHOWN_FINDINGS = 250
#: Children shown below one instance of the tree; all others are counted.
SHOWN_CHILDREN = 400
_MARKS = {Severity.HIGH: "▲", Severity.MEDIUM: "◆", Severity.LOW: "●"}
_STATE_MARKS = {"completed": "✓", "failed": "✕", "cancelled": "⊘"}
# The page may run nothing and load nothing, whatever a finding's text should hold.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that the report shows."""

    #: What was audited, for people: ``celery 5.7.0``.
    title: str
    summary: AuditSummary
    #: None when the root agent did not complete.
    result: AuditResult | None
    tree: list[Execution]
    made_at: datetime
    #: How many instances of a session may run at once.
    slots: int


def html_page(report: Report) -> str:
    """The whole page."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"Audit of {report.title}"),
        tag("style", Markup(Path(__file__).with_name("page.css").read_text("utf-8"))),
    )
    body = tag("body", _header(report), tag("main", *_sections(report)), _footer(report))
    return "<!doctype html>\n" + tag("html", head, body, lang="en") + "\n"


def _header(report: Report) -> Markup:
    made = report.made_at.strftime("%d %B %Y, %H:%M UTC").lstrip("0")
    names = ("findings", "folders", "timeline", "tree", "method")
    links = (tag("a", name.capitalize(), href=f"#{name}") for name in names)
    return tag(
        "header",
        tag("p", "Code audit by a tree of agents", class_="kicker"),
        tag("h1", report.title),
        tag("p", f"{made} · session ", tag("code", report.summary.session), class_="made"),
        tag("nav", *links, aria_label="Sections"),
    )


def _sections(report: Report) -> Iterator[Markup]:
    summary, result = report.summary, report.result
    for problem in summary.problems:
        yield tag("p", tag("strong", "Not complete: "), problem, class_="problem", role="alert")
    yield tag("section", *_cards(report), class_="cards", aria_label="Summary")
    if result is not None:
        yield _section("rules", "Findings by rule", "", _severity_legend(), _by_rule(result))
        yield _section("findings", "Most important findings", _shown(result), _findings(result))
        yield _section("folders", "Folders", "Weighted findings per 1,000 lines: high counts 9, "
                       "medium 3, low 1.", _folders(result))  # fmt: skip  # one sentence
    yield _section(
        "timeline",
        "Timeline",
        f"Each bar is an instance at work in a slot; at most {summary.most_at_once} ran at once. "
        "An agent that waits for its children gives its slot back, so it shows as several bars.",
        _agent_legend(),
        tag("div", charts.timeline_chart(report.tree, report.slots), class_="scroll"),
    )
    yield _section("tree", "Execution tree", "", tag("div", *_tree(report.tree), class_="tree"))
    yield _section("method", "How to read the numbers", "", _method(result))


def _section(name: str, title: str, note: str, *content: Markup) -> Markup:
    lead = tag("p", note, class_="note") if note else None
    return tag("section", tag("h2", title), lead, *content, id=name)


def _cards(report: Report) -> Iterator[Markup]:
    summary, result, slots = report.summary, report.result, report.slots
    severities = ", ".join(f"{count:,} {name}" for name, count in summary.findings.items())
    states = ", ".join(f"{count:,} {name}" for name, count in summary.by_state.items())
    raw = result["raw"] if result else 0
    merged = result["merged"] if result else 0
    yield _card("Findings", f"{sum(summary.findings.values()):,}", severities)
    yield _card("Dropped by review", f"{summary.dropped:,}", f"of {raw:,}; {merged:,} joined")
    yield _card("Files", f"{summary.files:,}", f"{summary.lines:,} lines")
    yield _card("Instances", f"{summary.instances:,}", states)
    yield _card("Most at once", f"{summary.most_at_once}", f"limit {slots} per session")
    yield _card("Wall time", f"{summary.wall_s:.1f} s", "first instance to last end")
    yield _card("Throughput", f"{summary.throughput:.1f}/s", "instances ended")
    yield _percentile_card("Spawn call", summary.spawn_ms, 1, "ms")
    yield _percentile_card("Queue wait", summary.queue_wait_s, 1, "s")
    yield _percentile_card("Run of a leaf", summary.run_s, 1000, "ms")


def _card(title: str, value: str, note: str) -> Markup:
    parts = tag("h3", title), tag("p", value, class_="value"), tag("p", note, class_="note")
    return tag("div", *parts, class_="card")


def _percentile_card(title: str, measured: Percentiles | None, scale: float, unit: str) -> Markup:
    if measured is None:
        return _card(title, "n/a", "not measured")
    p50, p95, p99 = (readable(scale * v) for v in (measured.p50, measured.p95, measured.p99))
    return _card(f"{title}, p50", f"{p50} {unit}", f"p95 {p95} · p99 {p99} {unit}")


def _severity_legend() -> Markup:
    items = (tag("span", tag("i", class_=f"key sev-{s.value}"), s.value) for s in Severity)
    return tag("p", *items, class_="legend")


def _agent_legend() -> Markup:
    names = ("audit.codebase", "audit.folder", "audit.files", "audit.review", "failed")
    keys = (tag("span", tag("i", class_=f"key {name.replace('.', '-')}"), name) for name in names)
    return tag("p", *keys, class_="legend")


def _by_rule(result: AuditResult) -> Markup:
    return tag("div", charts.findings_chart(result["tally"], ABOUT), class_="scroll")


def _shown(result: AuditResult) -> str:
    shown = min(len(result["findings"]), SHOWN_FINDINGS)
    return f"The first {shown:,} of {sum(by_severity(result['tally']).values()):,}, ranked."


def _findings(result: AuditResult) -> Markup:
    findings = [Finding.from_json(data) for data in result["findings"][:SHOWN_FINDINGS]]
    names = ("all", *(severity.value for severity in Severity))
    choices = (_choice(name) for name in names)
    heads = (tag("th", text, scope="col") for text in ("Severity", "Finding", "Where"))
    rows = (_finding_row(finding) for finding in findings)
    table = tag("table", tag("thead", tag("tr", *heads)), tag("tbody", *rows), class_="findings")
    return join(
        tag("fieldset", tag("legend", "Show"), *choices, class_="filter"),
        tag("div", table, class_="scroll tall", tabindex="0"),
    )


def _choice(name: str) -> Markup:
    box = tag("input", type="radio", name="severity", id=f"show-{name}", checked=name == "all")
    return join(box, tag("label", name, for_=f"show-{name}"))


def _finding_row(finding: Finding) -> Markup:
    severity = finding.severity
    badge = tag(
        "span", f"{_MARKS[severity]} {severity.value}", class_=f"badge sev-{severity.value}"
    )
    symbol = tag("div", finding.symbol, class_="note") if finding.symbol else None
    rule = tag("code", finding.rule, class_="rule", title=ABOUT.get(finding.rule, ""))
    return tag(
        "tr",
        tag("td", badge),
        tag("td", finding.message, " ", rule),
        tag("td", tag("code", finding.place), symbol),
        data_severity=severity.value,
    )


def _folders(result: AuditResult) -> Markup:
    totals = [by_severity(rank["tally"]) for rank in result["folders"]]
    most = max((sum(total.values()) for total in totals), default=1)
    names = ("Folder", "Files", "Lines", "High", "Medium", "Low", "Density", "Findings")
    heads = (tag("th", name, scope="col", class_="num" if 0 < i < 7 else None)
             for i, name in enumerate(names))  # fmt: skip  # one expression
    rows = []
    for rank, total in zip(result["folders"], totals, strict=True):
        numbers = (rank["files"], rank["lines"], *total.values(), rank["density"])
        cells = (tag("td", f"{number:,}", class_="num") for number in numbers)
        bar = tag("td", charts.share_bar(total, most))
        rows.append(tag("tr", tag("td", tag("code", f"{rank['folder']}/")), *cells, bar))
    table = tag("table", tag("thead", tag("tr", *heads)), tag("tbody", *rows), class_="folders")
    return tag("div", table, class_="scroll")


def _tree(nodes: list[Execution] | tuple[Execution, ...], depth: int = 0) -> Iterator[Markup]:
    for one in nodes[:SHOWN_CHILDREN]:
        line = _tree_line(one)
        if one.children:
            below = tag("div", *_tree(one.children, depth + 1), class_="below")
            yield tag("details", tag("summary", *line), below, open=depth == 0)
        else:
            yield tag("div", *line, class_="leaf")
    if len(nodes) > SHOWN_CHILDREN:
        yield tag("p", f"and {len(nodes) - SHOWN_CHILDREN:,} more", class_="note")


def _tree_line(one: Execution) -> Iterator[Markup]:
    mark = _STATE_MARKS.get(one.state, "…")
    yield tag("span", mark, class_=f"state {one.state}", title=one.reason or one.state)
    yield tag("span", one.label, class_="label")
    kind = one.agent.replace(".", "-")
    yield tag("span", tag("i", class_=f"key {kind}"), one.agent, class_="agent")
    below = sum(1 for _ in flat(one.children))
    yield tag("span", f"{below:,} below" if below else "", class_="num")
    again = f"failed {one.failures} times · " if one.failures else ""
    waited = f"waited {one.wait:.2f} s" if one.wait is not None else "never started"
    yield tag("span", f"{again}{waited}", class_="num", title=f"worker {one.worker or 'none'}")
    yield tag("span", f"ran {one.worked * 1000:,.0f} ms", class_="num", title=one.id)


def _method(result: AuditResult | None) -> Markup:
    points = [
        "Spawn call: the time that each ctx.spawn took inside an agent, measured there.",
        "Queue wait: from the moment an instance was created to its first start. It includes the "
        "wait for one of the session's slots, so it grows with the number of files.",
        "Run of a leaf: the time in which the agents without children ran.",
        "Percentiles are by nearest rank: each is a value that occurred.",
        "Duplicates are found within a folder only, and only where names were not changed. "
        "Each rule's limits are described where it is defined.",
    ]
    items = tag("ul", *(tag("li", point) for point in points))
    if result is None or not result["dropped"]:
        return items
    reasons = (tag("li", f"{count:,} {reason}") for reason, count in result["dropped"].items())
    return join(items, tag("h3", "Why the review dropped findings"), tag("ul", *reasons))


def _footer(report: Report) -> Markup:
    source = report.result["source"] if report.result else report.title
    return tag("footer", "Source: ", tag("code", source))
