"""The same code in two files, found by winnowing.

Winnowing (Schleimer, Wilkerson, Aiken: "Winnowing: local algorithms for document
fingerprinting", SIGMOD 2003) hashes every run of `RUN` tokens and keeps the smallest hash of
each window of `WINDOW` neighbouring runs. Two files that share at least
``RUN + WINDOW - 1`` tokens in a row are sure to share a fingerprint; fewer than `RUN` never
match. Literals are all alike to it, names are not: a copy whose variables were renamed is not
found. Imports, comments, docstrings and layout are left out, since they repeat everywhere.
"""

from __future__ import annotations

import ast
import token
from collections.abc import Iterable, Iterator
from itertools import combinations
from typing import NamedTuple
from zlib import crc32

from examples.audit.findings import Finding, Severity
from examples.audit.source import SourceFile

RUN = 50
WINDOW = 16
#: Shorter overlaps than this many lines are not worth a finding.
MIN_LINES = 6
HIGH_LINES = 40
#: A run with fewer different tokens than this is data, not code.
MIN_DISTINCT = 12
#: Files with more fingerprints than this (some 17,000 tokens) are cut: results stay small.
MAX_FINGERPRINTS = 2_000

_MODULUS = (1 << 61) - 1
_BASE = 1_000_003
_POSITION_BITS = 24
_MARK = (1 << 48) - 1
_SKIPPED = frozenset(
    {token.COMMENT, token.NL, token.NEWLINE, token.INDENT, token.DEDENT, token.ENDMARKER}
)
# From Python 3.12 on, the text of an f-string is a token of its own.
_LITERALS = {
    getattr(token, name): name
    for name in ("STRING", "NUMBER", "FSTRING_MIDDLE")
    if hasattr(token, name)
}


class Fingerprint(NamedTuple):
    """One run of tokens that was chosen to stand for its neighbourhood."""

    #: Hash of the run, 48 bits.
    mark: int
    first_line: int
    last_line: int


class Overlap(NamedTuple):
    """Lines of one file that are also in another."""

    path: str
    first_line: int
    last_line: int
    other: str
    other_line: int

    @property
    def lines(self) -> int:
        """Number of lines of the overlap."""
        return self.last_line - self.first_line + 1


def fingerprints(file: SourceFile) -> list[Fingerprint]:
    """The fingerprints of one file, in source order."""
    tokens = list(_significant(file))
    hashes = _run_hashes([crc32(text.encode("utf-8", "replace")) for text, _ in tokens])
    runs = [i for i in _winnow(hashes) if _is_code(tokens[i : i + RUN])][:MAX_FINGERPRINTS]
    return [Fingerprint(hashes[i] & _MARK, tokens[i][1], tokens[i + RUN - 1][1]) for i in runs]


def _is_code(run: list[tuple[str, int]]) -> bool:
    """Whether a run says something: long tables of literals all look alike, and are data."""
    return len({text for text, _ in run}) >= MIN_DISTINCT


def _significant(file: SourceFile) -> Iterator[tuple[str, int]]:
    """Text and line of the tokens that count, literals replaced by their kind."""
    skipped = _skipped_lines(file)
    for item in file.tokens:
        if item.type not in _SKIPPED and item.start[0] not in skipped:
            kind = _LITERALS.get(item.type)
            yield kind or item.string, item.start[0]


def _skipped_lines(file: SourceFile) -> set[int]:
    """Lines of imports and of expressions that are only a string (docstrings)."""
    lines: set[int] = set()
    for node in file.nodes:
        if isinstance(node, ast.Import | ast.ImportFrom) or (
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        ):
            lines.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return lines


def _run_hashes(values: list[int]) -> list[int]:
    """Polynomial hash of every run of `RUN` values, each from the one before (Rabin-Karp)."""
    if len(values) < RUN:
        return []
    top = pow(_BASE, RUN - 1, _MODULUS)
    rolling = 0
    for value in values[:RUN]:
        rolling = (rolling * _BASE + value) % _MODULUS
    hashes = [rolling]
    for old, new in zip(values, values[RUN:], strict=False):
        rolling = ((rolling - old * top) * _BASE + new) % _MODULUS
        hashes.append(rolling)
    return hashes


def _winnow(hashes: list[int]) -> list[int]:
    """Positions of the rightmost smallest hash of every window, each once."""
    # Hash and position in one integer: the smallest is then the rightmost smallest hash.
    packed = [(value << _POSITION_BITS) - position for position, value in enumerate(hashes)]
    chosen: list[int] = []
    for start in range(max(len(packed) - WINDOW + 1, min(len(packed), 1))):
        best = -min(packed[start : start + WINDOW]) & ((1 << _POSITION_BITS) - 1)
        if not chosen or chosen[-1] != best:
            chosen.append(best)
    return chosen


def overlaps(marks: dict[str, list[Fingerprint]]) -> list[Overlap]:
    """All overlaps between the files of one folder: ``{path: fingerprints}``."""
    found: list[Overlap] = []
    for first, second in _related(marks):
        found.extend(_between(second, marks[second], first, marks[first]))
    return [overlap for overlap in found if overlap.lines >= MIN_LINES]


def _related(marks: dict[str, list[Fingerprint]]) -> list[tuple[str, str]]:
    """The pairs of files that share a fingerprint at all: few of all possible pairs."""
    holders: dict[int, set[str]] = {}
    for path, prints in marks.items():
        for one in prints:
            holders.setdefault(one.mark, set()).add(path)
    shared = (sorted(paths) for paths in holders.values() if len(paths) > 1)
    return sorted({pair for paths in shared for pair in combinations(paths, 2)})


def _between(
    path: str, marks: list[Fingerprint], other: str, others: list[Fingerprint]
) -> Iterator[Overlap]:
    """Shared fingerprints of two files, joined where both files run on."""
    places = {mark.mark: mark for mark in reversed(others)}
    current: Overlap | None = None
    reached = 0
    for mark in marks:
        twin = places.get(mark.mark)
        if twin is None:
            continue
        if current and mark.first_line <= current.last_line + 1 and twin.first_line >= reached:
            current = current._replace(last_line=max(mark.last_line, current.last_line))
        else:
            if current:
                yield current
            current = Overlap(path, mark.first_line, mark.last_line, other, twin.first_line)
        reached = twin.first_line
    if current:
        yield current


def duplicate_findings(found: Iterable[Overlap]) -> list[Finding]:
    """One finding per overlap, placed in the file that comes later in the alphabet."""
    return [_duplicate(overlap) for overlap in found]


def _duplicate(overlap: Overlap) -> Finding:
    severity = Severity.HIGH if overlap.lines >= HIGH_LINES else Severity.MEDIUM
    name = overlap.other.rsplit("/", 1)[-1]
    message = f"{overlap.lines} lines are also in {name} from line {overlap.other_line}"
    excess = round(overlap.lines / MIN_LINES, 2)
    return Finding(
        "duplicate-block", overlap.path, overlap.first_line, severity, message, excess=excess
    )
