"""The report: complete, in one piece, and safe whatever names and texts the code base holds."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest

from examples.audit.execution import Execution
from examples.audit.findings import Severity, tally
from examples.audit.markup import Markup, join, tag
from examples.audit.page import SHOWN_CHILDREN, Report, html_page
from examples.audit.report import (
    escape,
    markdown_page,
    report_paths,
    source_title,
    table,
    write_reports,
)
from examples.audit.results import AuditResult, audit_result, folder_result, review_result
from examples.audit.summary import summarise
from tests.examples.support import execution, finding

EVIL = "<script>alert('x')</script>&\"|`*.py"
VOID = {"meta", "link", "br", "hr", "input", "img"}


class Page(HTMLParser):
    """Reads a page strictly: every element is closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        """Everything that a reader sees, and the style sheet."""
        return " ".join(self.words)

    def count(self, name: str, **attributes: str) -> int:
        """How many elements there are of a name, with these attributes."""
        wanted = {key.rstrip("_"): value for key, value in attributes.items()}
        return sum(n == name and wanted.items() <= found.items() for n, found in self.elements)


def result(path: str = "app/a.py") -> AuditResult:
    """The result of an audit with a finding of each severity about one file."""
    complaints = [
        finding(path=path, line=n, severity=severity, message=f"{path} is wrong", symbol=path)
        for n, severity in enumerate(Severity)
    ]
    review = review_result(complaints, {"test code": 4}, 1, 0)
    part = folder_result(path, [], 8, review, [1.5])
    return audit_result(f"/code/{path}", [part], [], [2.5])


def report(
    outcome: AuditResult | None = None, tree: list[Execution] | None = None, title: str = "celery"
) -> Report:
    """A report about a root with two children."""
    children = (
        execution("a", (1.0, 3.0), label="app/a.py"),
        execution("b", (2.0, 4.0), agent="audit.review", label="app/"),
    )
    root = execution("r", (0.0, 1.0), (4.0, 5.0), agent="audit.codebase", children=children)
    nodes = [root] if tree is None else tree
    summary = summarise("audit-1", "r", outcome, nodes, report_paths(Path("out")))
    return Report(title, summary, outcome, nodes, datetime(2026, 5, 4, 3, 2, tzinfo=UTC), 10)


def test_the_page_is_well_formed_and_complete() -> None:
    page = Page(html_page(report(result())))
    assert page.count("section", id="findings") == 1
    assert page.count("tr", data_severity="high") + page.count("tr") == 1 + 3 + 1 + 1
    for text in ("celery", "audit-1", "app/a.py:1", "4 May 2026", "4 test code", "audit.review"):
        assert text in page.text


def test_the_page_needs_nothing_from_anywhere() -> None:
    text = html_page(report(result()))
    page = Page(text)
    assert not re.search(r"https?:|//[a-z]|@import|url\(|src=", text, re.I)
    assert {name for name, _ in page.elements}.isdisjoint(
        {"script", "link", "img", "iframe", "object"}
    )
    targets = [found["href"] for _, found in page.elements if "href" in found]
    places = {
        f"#{found['id']}" for name, found in page.elements if name == "section" and "id" in found
    }
    assert set(targets) <= places
    assert page.count("meta", content="default-src 'none'; style-src 'unsafe-inline'") == 1


def test_whatever_a_file_is_called_stays_text() -> None:
    tree = [execution("x", (0.0, 1.0), label=EVIL, agent=EVIL, worker=EVIL, reason=EVIL)]
    plain = Page(html_page(report(result("a.py"), [execution("x", (0.0, 1.0), label="a.py")])))
    evil = Page(html_page(report(result(EVIL), tree, EVIL)))
    assert [name for name, _ in evil.elements] == [name for name, _ in plain.elements]
    assert evil.text.count(EVIL) >= 5
    assert not any(key.startswith("on") for _, found in evil.elements for key in found)


def test_the_charts_show_every_bar_and_say_it_in_words() -> None:
    text = html_page(report(result()))
    page = Page(text)
    assert page.count("rect", class_="bar audit-codebase") == 2
    assert page.count("rect", class_="bar audit-files") == 1
    assert page.count("rect", class_="lane") == 10
    for severity in ("high", "medium", "low"):
        assert f"bare-except: 1 {severity}" in page.text
    assert page.count("svg", role="img") == 3
    assert "max 2" in page.text


def test_more_at_once_than_the_limit_is_shown_as_such() -> None:
    tree = [execution(str(n), (0.0, 1.0)) for n in range(12)]
    page = Page(html_page(report(result(), tree)))
    assert page.count("rect", class_="lane") == 10
    assert page.count("rect", class_="lane beyond") == 2


def test_the_tree_folds_and_a_broad_one_is_cut() -> None:
    children = tuple(execution(str(n), (0.0, 1.0)) for n in range(SHOWN_CHILDREN + 5))
    page = Page(html_page(report(result(), [execution("r", (0.0, 1.0), children=children)])))
    assert page.count("details") == 1
    assert page.count("div", class_="leaf") == SHOWN_CHILDREN
    assert "and 5 more" in page.text


def test_a_failed_instance_is_marked_and_explained() -> None:
    tree = [execution("r", (0.0, 1.0), state="failed", reason="TIMEOUT", failures=2)]
    page = Page(html_page(report(None, tree)))
    assert page.count("rect", class_="bar failed") == 1
    assert page.count("span", class_="state failed", title="TIMEOUT") == 1
    assert "failed 2 times" in page.text
    assert page.count("p", role="alert") == 1


def test_an_audit_without_result_still_has_a_page() -> None:
    broken = report(None, [])
    page = Page(html_page(broken))
    assert page.count("section", id="findings") == 0
    assert "not measured" in page.text
    assert markdown_page(broken).startswith("# Audit of celery\n")


def test_colours_are_those_that_everybody_can_tell_apart() -> None:
    text = html_page(report(result()))
    for colour in ("#d55e00", "#e69f00", "#56b4e9", "#0072b2", "#009e73", "#cc79a7"):
        assert colour in text
    assert "prefers-color-scheme: dark" in text


def test_the_markdown_has_a_row_for_each_thing() -> None:
    text = markdown_page(report(result()))
    assert "| high | bare-except | app/a.py | app/a.py | app/a.py is wrong |" in text
    assert "| app/a.py/ | 0 | 0 | 1 | 1 | 1 | 13,000.0 |" in text
    assert "| test code | 4 |" in text
    assert "## Most important findings (3 of 3)" in text


def test_no_name_breaks_a_markdown_table() -> None:
    text = markdown_page(report(result(EVIL), title=EVIL))
    assert "<script" not in text
    widths = {len(re.findall(r"(?<!\\)\|", line)) for line in rows(text, "bare-except")}
    assert widths == {6}


def rows(text: str, word: str) -> Iterable[str]:
    """The lines of tables that hold a word and a path."""
    return [line for line in text.splitlines() if word in line and ".py" in line]


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("a|b", r"a\|b"),
        ("<b>&", "&lt;b&gt;&amp;"),
        ("two\nlines", "two lines"),
        ("__init__", r"\_\_init\_\_"),
        ("[x](y)", r"\[x\](y)"),
        ("plain text, 1.5 (all)", "plain text, 1.5 (all)"),
    ],
)
def test_markdown_is_escaped(text: str, safe: str) -> None:
    assert escape(text) == safe


def test_a_table_without_rows_is_a_table() -> None:
    assert list(table(("A", "B"), [])) == ["| A | B |", "| --- | --- |", ""]


def test_both_files_are_written_into_a_new_folder(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "folder"
    write_reports(report(result()), out)
    assert sorted(path.name for path in out.iterdir()) == ["audit.html", "audit.md"]


def test_an_installed_package_is_named_with_its_version(tmp_path: Path) -> None:
    (tmp_path / "celery").mkdir()
    assert source_title(tmp_path / "celery") == "celery"
    (tmp_path / "celery-5.7.0.dist-info").mkdir()
    (tmp_path / "celery_other-1.0.dist-info").mkdir()
    assert source_title(tmp_path / "celery") == "celery 5.7.0"


def test_children_of_a_tag_are_escaped_unless_they_are_markup() -> None:
    assert tag("p", "<b>", Markup("<i></i>"), None, False, 0) == "<p>&lt;b&gt;<i></i>0</p>"
    assert join("<", Markup("<br>")) == "&lt;<br>"


def test_attributes_are_escaped_and_named() -> None:
    made = tag("input", class_='a"b', data_x="<", checked=True, disabled=False, title=None)
    assert made == '<input class="a&quot;b" data-x="&lt;" checked>'


def test_the_tally_of_the_page_is_that_of_all_findings() -> None:
    outcome = result()
    outcome["tally"] = tally([finding()] * 1234)
    page = Page(html_page(replace(report(outcome), result=outcome)))
    assert "The first 3 of 1,234, ranked." in page.text
