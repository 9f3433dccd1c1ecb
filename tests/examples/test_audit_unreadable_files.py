"""A code base holds anything: whatever a file is, it becomes a finding and never an error."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples.audit.analysis import audit_bytes, audit_file
from examples.audit.findings import Finding, json_size
from examples.audit.source import MAX_FILE_BYTES, SourceFile, decode, parse

WORDS = [
    *("def f(a=[]):", "class C:", "try:", "except:", "match x:", "while 1:", "async ", "lambda"),
    *("\n", "\n    ", "\t", "\x0c", "\x00", "\\", "(", ")", "[", "{", "'", '"""', "f'{x!r", "é"),
    *("# TODO", "import os", "return", "yield", "pass", "@", ":=", "*", "0x", "1e999"),
]


@given(st.binary(max_size=400))
@settings(deadline=None)  # The first example pays for imports; nothing here is about time.
def test_no_bytes_make_the_analysis_raise(data: bytes) -> None:
    assert audit_bytes(data, "any.py").path == "any.py"


@given(st.lists(st.sampled_from(WORDS), max_size=30).map("".join))
@settings(deadline=None)
def test_no_nearly_valid_source_makes_the_analysis_raise(text: str) -> None:
    audit = audit_bytes(text.encode(), "any.py")
    assert all(isinstance(finding, Finding) for finding in audit.findings)


@given(st.sampled_from(["utf-7", "punycode", "unicode_escape", "hex", "undefined", "idna", "x"]),
       st.binary(max_size=60))  # fmt: skip  # one argument a line says nothing more
@settings(deadline=None)
def test_no_declared_encoding_makes_the_analysis_raise(encoding: str, rest: bytes) -> None:
    audit_bytes(b"# coding: " + encoding.encode() + b"\n" + rest, "any.py")


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        (b"x = '\xff'", "unreadable-file"),
        (b"# coding: latin-1\nx = '\xff'", None),
        (b"# coding: nonsense\n", "unreadable-file"),
        (b"\xef\xbb\xbfx = 1", None),
        (b"def f(:\n", "syntax-error"),
        (b"x = 1\x00", "syntax-error"),
        (b"x = " + b"(" * 500, "syntax-error"),
        (b"x = " + b"-" * 100_000 + b"1", "syntax-error"),
        (b"", None),
    ],
)
def test_what_cannot_be_read_is_one_finding(data: bytes, rule: str | None) -> None:
    rules = {finding.rule for finding in audit_bytes(data, "any.py").findings}
    assert rules & {"unreadable-file", "syntax-error"} == ({rule} if rule else set())


def test_a_syntax_error_tells_its_line() -> None:
    [finding] = audit_bytes(b"x = 1\ny = = 2\n", "any.py").findings
    assert (finding.line, finding.message) == (2, "invalid syntax")


def test_source_that_deserves_warnings_is_parsed_without_any() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert isinstance(parse(rb"x = '\d' is 1", "any.py"), SourceFile)


def test_all_line_ends_count_alike() -> None:
    assert decode(b"a\r\nb\rc\n") == "a\nb\nc\n"


def test_a_missing_file_is_a_finding(tmp_path: Path) -> None:
    [finding] = audit_file(tmp_path, "gone.py").findings
    assert (finding.rule, finding.path) == ("unreadable-file", "gone.py")


def test_a_folder_with_the_name_of_a_file_is_a_finding(tmp_path: Path) -> None:
    (tmp_path / "folder.py").mkdir()
    assert [f.rule for f in audit_file(tmp_path, "folder.py").findings] == ["unreadable-file"]


def test_a_huge_file_is_named_and_not_analysed(tmp_path: Path) -> None:
    with (tmp_path / "huge.py").open("wb") as file:
        os.truncate(file.fileno(), MAX_FILE_BYTES + 1)
    [finding] = audit_file(tmp_path, "huge.py").findings
    assert (finding.rule, finding.message) == ("too-large-file", "1,048,577 bytes: not analysed")


def test_what_a_finding_says_can_always_be_stored(tmp_path: Path) -> None:
    name = "é" * 5000
    code = f"# coding: unicode_escape\nclass {name}:\n    def f(self): pass # TODO \\ud800 \\x01"
    for finding in audit_bytes(code.encode(), "any.py").findings:
        data = finding.to_json()
        assert json_size(data) < 4000
        assert not any("\ud800" in str(value) or "\x01" in str(value) for value in data.values())
