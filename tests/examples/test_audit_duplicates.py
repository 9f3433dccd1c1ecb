"""The same code in two files: found wherever it stands, and nothing else."""

from __future__ import annotations

from textwrap import indent

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples.audit.duplicates import (
    RUN,
    WINDOW,
    Fingerprint,
    _winnow,
    duplicate_findings,
    fingerprints,
    overlaps,
)
from examples.audit.findings import Severity
from tests.examples.support import parsed

BLOCK = """\
    total = 0
    for order in customer.orders:
        if order.paid and not order.cancelled:
            total += order.amount * (1 - order.discount)
        elif order.partially_paid:
            total += sum(payment.amount for payment in order.payments)
        else:
            logger.warning("order %s is open", order.number)
    average = total / max(len(customer.orders), 1)
    return report(customer.name, total, average, currency=customer.currency)
"""


def marks(**files: str) -> dict[str, list[Fingerprint]]:
    """The fingerprints of files, given by name and content."""
    return {f"{name}.py": fingerprints(parsed(code, f"{name}.py")) for name, code in files.items()}


def function(name: str, body: str = BLOCK, before: int = 0) -> str:
    """A function, with some unlike lines before it."""
    filler = "".join(f"{name}_{n} = {name}_other[{n}].part{n}(x{n})\n" for n in range(before))
    return f"{filler}def {name}(customer):\n{body}"


def test_a_copied_block_is_found_where_it_stands() -> None:
    [overlap] = overlaps(marks(a=function("f", before=3), b=function("g", before=20)))
    assert (overlap.path, overlap.other) == ("b.py", "a.py")
    assert 21 <= overlap.first_line <= 24
    assert overlap.last_line == 31
    assert 4 <= overlap.other_line <= 7


def test_layout_comments_and_literals_make_no_difference() -> None:
    changed = BLOCK.replace('"order %s is open"', "'other text'").replace(
        "    total = 0", "    # sum\n    total = 7"
    )
    assert len(overlaps(marks(a=function("f"), b=function("g", indent(changed, "    "))))) == 1


def test_other_names_make_other_code() -> None:
    changed = (
        BLOCK.replace("order", "invoice").replace("customer", "client").replace("total", "sum_")
    )
    assert overlaps(marks(a=function("f"), b=function("g", changed))) == []


def test_imports_docstrings_and_tables_of_data_are_not_code() -> None:
    imports = "".join(f"from package.module{n} import name{n}\n" for n in range(40))
    table = "TABLE = [\n" + "".join(f"    ('key{n}', {n}),\n" for n in range(60)) + "]\n"
    text = imports + '"""' + "word " * 300 + '"""\n' + table
    assert overlaps(marks(a=text, b=text)) == []


def test_short_files_have_no_fingerprints() -> None:
    assert fingerprints(parsed("x = 1\n" * 5)) == []


def test_a_file_does_not_overlap_with_itself() -> None:
    assert overlaps(marks(a=function("f") + function("g"))) == []


def test_each_pair_of_files_is_compared() -> None:
    found = overlaps(marks(a=function("f"), b=function("g"), c=function("h")))
    assert [(o.path, o.other) for o in found] == [
        ("b.py", "a.py"),
        ("c.py", "a.py"),
        ("c.py", "b.py"),
    ]


def test_blocks_that_changed_places_are_two_overlaps() -> None:
    other = "".join(f"    value{n} = first{n}.call(second{n}, third{n})\n" for n in range(12))
    found = overlaps(marks(a=function("f", BLOCK + other), b=function("g", other + BLOCK)))
    assert [overlap.other_line >= 12 for overlap in found] == [True, False]


def test_a_long_overlap_is_one_grave_finding() -> None:
    body = "".join(f"    value{n} = first{n}.call(second{n}, third{n})\n" for n in range(60))
    [finding] = duplicate_findings(overlaps(marks(a=function("f", body), b=function("g", body))))
    assert finding.severity is Severity.HIGH
    assert "also in a.py" in finding.message


@given(st.lists(st.integers(0, 40), max_size=120))
@settings(deadline=None)
def test_winnowing_takes_the_rightmost_smallest_hash_of_each_window(hashes: list[int]) -> None:
    expected = {
        min(range(start, min(start + WINDOW, len(hashes))), key=lambda i: (hashes[i], -i))
        for start in range(max(len(hashes) - WINDOW + 1, min(len(hashes), 1)))
    }
    assert _winnow(hashes) == sorted(expected)


@given(st.integers(0, 60), st.integers(0, 60))
@settings(deadline=None, max_examples=30)
def test_a_shared_run_of_the_guaranteed_length_is_always_found(left: int, right: int) -> None:
    """Wherever the shared tokens stand, the two files have a fingerprint in common."""
    shared = " + ".join(f"name{n}" for n in range((RUN + WINDOW) // 2 + 1))

    def file(letter: str, count: int) -> str:
        return "".join(f"{letter}{n} = {letter}()\n" for n in range(count)) + f"x = {shared}\n"

    first, second = marks(a=file("p", left), b=file("q", right)).values()
    assert {mark.mark for mark in first} & {mark.mark for mark in second}


@pytest.mark.parametrize("count", [0, 1, WINDOW - 1, WINDOW])
def test_few_hashes_are_one_window(count: int) -> None:
    assert len(_winnow(list(range(count)))) == min(count, 1)
