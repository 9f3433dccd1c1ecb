"""Docstrings, imports and comments."""

from __future__ import annotations

import pytest

from examples.audit.findings import Severity
from tests.examples.support import found, lines

DOCUMENTED = '"""What it is."""\n'


def test_every_public_thing_needs_a_docstring() -> None:
    code = """\
        import a

        class C:
            def method(self): work()

        async def f(): work()
    """
    messages = [finding.message for finding in found("missing-docstring", code)]
    assert messages == [
        "the module has no docstring",
        "public class `C` has no docstring",
        "public function `f` has no docstring",
        "public function `method` has no docstring",
    ]


@pytest.mark.parametrize(
    "code",
    [
        "",
        "def _private(): pass",
        "class _Private: pass",
        "def f():\n    'documented'",
        "class C:\n    'documented'\n    def __init__(self): pass",
        "def f():\n    'documented'\n    def nested(): pass",
    ],
)
def test_private_documented_and_nested_things_need_none(code: str) -> None:
    assert lines("missing-docstring", DOCUMENTED + code) == []


def test_an_empty_module_needs_no_docstring() -> None:
    assert lines("missing-docstring", "") == []
    assert lines("missing-docstring", "# only a comment\n") == []


@pytest.mark.parametrize(
    ("statement", "name"),
    [
        ("import os", "os"),
        ("import os.path", "os.path"),
        ("import numpy as np", "numpy"),
        ("from os import path", "path"),
        ("from os import path as p", "path"),
    ],
)
def test_an_unused_import_is_found(statement: str, name: str) -> None:
    [finding] = found("unused-import", f"{statement}\nx = 1")
    assert finding.message == f"`{name}` is imported but not used"


@pytest.mark.parametrize(
    "code",
    [
        "import os\nos.getcwd()",
        "import os.path\nprint(os.path.sep)",
        "import numpy as np\ndef f(): return np.zeros(1)",
        "from __future__ import annotations",
        "from a import b as b",
        "from a import _private",
        "from a import *",
        "from typing import Any\nx: 'Any' = 1",
        "from a import b\n__all__ = ['b']",
        "import a\n@a\ndef f(): pass",
    ],
)
def test_used_and_deliberate_imports_are_fine(code: str) -> None:
    assert lines("unused-import", code) == []


def test_a_name_in_prose_is_not_a_use() -> None:
    code = f"import shutil\nx = '{'word ' * 40} shutil'"
    assert lines("unused-import", code) == [1]


def test_a_wildcard_import_is_found() -> None:
    [finding] = found("wildcard-import", "from a.b import *\nfrom c import d")
    assert (finding.line, finding.message) == (1, "wildcard import from `a.b`")
    assert found("wildcard-import", "from . import *")[0].message == "wildcard import from `.`"


def test_markers_in_comments_are_found() -> None:
    code = """\
        x = 1  # TODO: make it two
        # FIXME(ann) breaks on Sunday
        # XXX
    """
    findings = found("marker-comment", code)
    assert [(f.line, f.severity, f.message) for f in findings] == [
        (1, Severity.LOW, "TODO: make it two"),
        (2, Severity.MEDIUM, "FIXME: ann) breaks on Sunday"),
        (3, Severity.MEDIUM, "XXX without an explanation"),
    ]


@pytest.mark.parametrize(
    "code", ["x = 'TODO: not a comment'", "# my todo list", "# TODOS", "# see PREFIXME", "x = 1"]
)
def test_words_that_are_no_markers_are_fine(code: str) -> None:
    assert lines("marker-comment", code) == []
