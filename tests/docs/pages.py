"""Reads the documentation as the tests need it.

Marks stand in comments directly above a fenced block:

    <!-- file: NAME -->      the block is this file, in the folder the page works in
    <!-- append: NAME -->    the block is added to that file
    <!-- run -->             the block is run: a file by Python, `sh` by bash
    <!-- run: 3 -->          and ends with this exit code
    <!-- output -->          the block is how the output of the one run before ends
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"

_MARK = re.compile(r"<!-- (\w+)(?:: (.*))? -->")
_FENCE = re.compile(r"^```(\w*)$")
_SPAN = re.compile(r"`([^`]+)`")
_CELL = re.compile(r"(?<!\\)\|")


@dataclass(frozen=True)
class Block:
    """A fenced block."""

    language: str
    text: str
    marks: dict[str, str] = field(default_factory=dict)


def pages() -> list[Path]:
    """Every page there is."""
    tops = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
    return [
        *tops,
        *sorted(DOCS.rglob("*.md")),
        ROOT / "compose" / "README.md",
        ROOT / "examples" / "README.md",
    ]


def name_of(page: Path) -> str:
    """How a page is called in test ids."""
    return str(page.relative_to(ROOT))


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page in their order."""
    found: list[Block] = []
    marks: dict[str, str] = {}
    lines = iter(page.read_text().splitlines())
    for line in lines:
        if mark := _MARK.fullmatch(line):
            marks[mark[1]] = mark[2] or ""
        elif fence := _FENCE.match(line):
            found.append(Block(fence[1], "\n".join(_until_fence(lines)) + "\n", marks))
            marks = {}
        else:
            marks = {}
    return found


def _until_fence(lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        if line == "```":
            return
        yield line


def prose(text: str) -> str:
    """The text without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def spans(text: str) -> list[str]:
    """The pieces of inline code, outside of fenced blocks."""
    return _SPAN.findall(prose(text))


def code(page: Path) -> Iterator[str]:
    """Everything written as code that a reader may type: spans, indented lines, shell blocks."""
    text = page.read_text()
    yield from spans(text)
    yield from (line.strip() for line in prose(text).splitlines() if line.startswith("    "))
    for block in blocks(page):
        if block.language == "sh":
            yield from block.text.splitlines()


def headings(page: Path) -> list[str]:
    """The headings of a page, without their marks of level."""
    lines = prose(page.read_text()).splitlines()
    return [line.lstrip("# ") for line in lines if line.startswith("#")]


def anchor(heading: str) -> str:
    """The anchor that a heading is given when a page is shown."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def sections(page: Path, level: int) -> dict[str, str]:
    """The text below each heading of a level, up to the next of it or above."""
    found: dict[str, str] = {}
    current = ""
    for line in page.read_text().splitlines():
        if re.match(rf"#{{1,{level}}} ", line):
            current = line.lstrip("# ")
            found[current] = ""
        elif current:
            found[current] += line + "\n"
    return found


def rows(text: str) -> list[list[str]]:
    """The cells of all table rows, without heads."""
    found: list[list[str]] = []
    lines = text.splitlines()
    for number, line in enumerate(lines):
        is_head = number + 1 < len(lines) and lines[number + 1].startswith("|--")
        if line.startswith("|") and not line.startswith("|--") and not is_head:
            found.append([cell.strip() for cell in _CELL.split(line)[1:-1]])
    return found
