"""Rules about comments."""

from __future__ import annotations

import ast
import re
import tokenize
from collections.abc import Iterator

from examples.audit.findings import clean
from examples.audit.rules.base import LOW, MEDIUM, Hit
from examples.audit.source import SourceFile

# Upper case only and as a whole word: prose such as "todo list" is not a marker.
_MARKER = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b[:\s(-]*(.*)")
_SEVERITY = {"TODO": LOW, "HACK": MEDIUM, "XXX": MEDIUM, "FIXME": MEDIUM}


def marker_comment(_node: ast.Module, file: SourceFile) -> Iterator[Hit]:
    """TODO, FIXME, XXX and HACK in comments: work that the author left. Strings do not count."""
    if not _MARKER.search(file.text):
        return  # Most files have none: no need to tokenise them for this rule.
    for token in file.tokens:
        if token.type == tokenize.COMMENT and (found := _MARKER.search(token.string)):
            word, rest = found.groups()
            message = f"{word}: {clean(rest, 80)}" if rest else f"{word} without an explanation"
            yield Hit(token.start[0], _SEVERITY[word], message)
