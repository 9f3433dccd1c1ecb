"""Raising and catching: the mistakes, and the code that only resembles them."""

from __future__ import annotations

import pytest

from examples.audit.findings import Severity
from tests.examples.support import found, lines


def test_a_bare_except_is_found_and_worst_when_silent() -> None:
    code = """\
        try:
            work()
        except:
            log()
        try:
            work()
        except:
            pass
    """
    findings = found("bare-except", code)
    assert [(f.line, f.severity) for f in findings] == [(3, Severity.MEDIUM), (7, Severity.HIGH)]


def test_a_named_exception_is_not_bare() -> None:
    assert found("bare-except", "try: work()\nexcept BaseException: pass") == []


def test_silently_dropping_every_exception_is_found() -> None:
    code = """\
        for item in items:
            try:
                work()
            except Exception:
                continue
            try:
                work()
            except BaseException:
                "no reason"
    """
    findings = found("swallowed-exception", code)
    assert [(f.line, f.severity) for f in findings] == [(4, Severity.MEDIUM), (8, Severity.HIGH)]


@pytest.mark.parametrize(
    "handler",
    ["except KeyError: pass", "except Exception: log()", "except (KeyError, OSError): pass"],
)
def test_expected_or_handled_exceptions_are_fine(handler: str) -> None:
    assert found("swallowed-exception", f"try: work()\n{handler}") == []


def test_return_in_finally_is_found_in_its_depth() -> None:
    code = """\
        def f():
            try:
                return 1
            finally:
                if late():
                    return 2
    """
    assert lines("return-in-finally", code) == [6]


def test_a_return_of_a_function_inside_finally_is_its_own() -> None:
    code = """\
        def f():
            try:
                work()
            finally:
                clean(lambda: 1)
                def later():
                    return 2
    """
    assert lines("return-in-finally", code) == []


@pytest.mark.parametrize("what", ["NotImplemented", "NotImplemented('later')"])
def test_raising_the_value_notimplemented_is_found(what: str) -> None:
    assert lines("raise-notimplemented", f"def f():\n    raise {what}") == [2]


@pytest.mark.parametrize("statement", ["raise NotImplementedError", "return NotImplemented"])
def test_the_right_uses_of_both_names_are_fine(statement: str) -> None:
    assert lines("raise-notimplemented", f"def f():\n    {statement}") == []


def test_another_exception_without_from_is_found() -> None:
    code = "try: work()\nexcept KeyError as error:\n    raise ValueError(str(error))"
    [finding] = found("lost-cause", code)
    assert (finding.line, finding.severity) == (3, Severity.LOW)


@pytest.mark.parametrize(
    "body",
    ["raise", "raise error", "raise ValueError() from error", "raise ValueError() from None"],
)
def test_a_cause_that_is_kept_or_refused_openly_is_fine(body: str) -> None:
    assert lines("lost-cause", f"try: work()\nexcept KeyError as error:\n    {body}") == []
