"""Danger: a link leads nowhere, or a page names a file that has moved."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, ROOT, anchor, headings, name_of, pages, prose, spans

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_FOLDERS = ("orchestrator", "workers", "migrations", "examples", "tests", "docs", "compose")
_PATH = re.compile(rf"(?:{'|'.join(_FOLDERS)})/[\w./-]+")


def links(page: Path) -> Iterator[str]:
    """Where the links of a page lead to, within the repository."""
    for target in _LINK.findall(prose(page.read_text())):
        if not re.match(r"\w+:", target):
            yield target


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_links_resolve(page: Path) -> None:
    for link in links(page):
        name, _, fragment = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        if fragment:
            assert fragment in map(anchor, headings(target)), link


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_named_files_exist(page: Path) -> None:
    for span in spans(page.read_text()):
        if _PATH.fullmatch(span) and "NNNN" not in span:
            assert (ROOT / span).exists(), span


def test_every_page_can_be_found() -> None:
    """From the list of pages, which README links to."""
    listed = {(DOCS / link.partition("#")[0]).resolve() for link in links(DOCS / "README.md")}
    assert {page for page in DOCS.rglob("*.md") if page.name != "README.md"} == listed
