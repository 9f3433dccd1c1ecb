"""An error as it is recorded: with everything it was caused by, within bounds.

    {"type": "ReportFailed", "message": "...", "traceback": "...",
     "causes": [{"type": "ConnectError", "message": "..."}, ...],
     "attempts": [{"attempt": 1, "type": "...", "message": "...", "at": "..."}, ...]}

`causes` are nearest first, `attempts` the failed ones up to this, oldest first.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any

#: Characters that are recorded of a message, of a traceback, and of the message of an attempt.
LONGEST_MESSAGE = 2_000
LONGEST_TRACEBACK = 8_000
LONGEST_NOTE = 500
#: How many causes of an error, and how many attempts (the newest), are recorded.
MOST_CAUSES = 10
MOST_ATTEMPTS = 20

#: The classes of an error and then of each error that it was raised from, as full names; of an
#: error from outside of Python the one name that is known.
Kinds = tuple[tuple[str, ...], ...]


def name_of(kind: type[BaseException]) -> str:
    """The full name of a class, as `httpx.ReadTimeout`.

    What the first module of a program defines is called otherwise where others import it, so it
    has its last name alone.
    """
    if kind.__module__ == "__main__":
        return kind.__qualname__.rpartition(".")[2]
    return f"{kind.__module__}.{kind.__qualname__}"


def kinds_of(error: BaseException) -> Kinds:
    """What an error is and what it was raised from, outermost first."""
    return tuple(
        tuple(map(name_of, type(one).__mro__[:-1])) for one in islice(_raised_from(error), 20)
    )


def is_named(kind: Sequence[str], names: Sequence[object]) -> bool:
    """Whether a list of names has one of these classes; a short name stands for any module's."""
    return any(_same(str(name), one) for name in names for one in kind)


def describe(error: BaseException) -> dict[str, Any]:
    """An exception as it is recorded."""
    causes = islice(_causes(error), MOST_CAUSES)
    fault: dict[str, Any] = _brief(error) | {
        "traceback": storable("".join(traceback.format_exception(error)))[-LONGEST_TRACEBACK:]
    }
    if found := [_brief(cause) for cause in causes]:
        fault["causes"] = found
    return fault


def with_attempts(
    fault: Mapping[str, Any], earlier: Mapping[str, Any] | None, attempt: int, at: datetime
) -> dict[str, Any]:
    """A fault of an attempt together with those of the attempts before it.

    `earlier` is what was recorded of the attempt that failed last.
    """
    note = {
        "attempt": attempt,
        "type": str(fault.get("type", ""))[:LONGEST_NOTE],
        "message": str(fault.get("message", ""))[:LONGEST_NOTE],
        "at": at.isoformat(),
    }
    before = (earlier or {}).get("attempts", [])
    return {**fault, "attempts": [*before, note][-MOST_ATTEMPTS:]}


def _same(name: str, kind: str) -> bool:
    if "." in name and "." in kind:
        return name == kind
    return name.rpartition(".")[2] == kind.rpartition(".")[2]


def _raised_from(error: BaseException) -> Iterator[BaseException]:
    """An error and what it was raised from on purpose; of a group also its members."""
    yield from _walk(error, lambda one: one.__cause__)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Everything behind an error, also what was being handled when it was raised."""
    yield from islice(_walk(error, _cause_or_context), 1, None)


def _cause_or_context(error: BaseException) -> BaseException | None:
    if error.__cause__ is not None or error.__suppress_context__:
        return error.__cause__
    return error.__context__


def _walk(error: BaseException, behind: Any) -> Iterator[BaseException]:
    ahead, seen = [error], set[int]()
    while ahead:
        one = ahead.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        if isinstance(one, BaseExceptionGroup):
            ahead.extend(one.exceptions)
        if (cause := behind(one)) is not None:
            ahead.append(cause)


def _brief(error: BaseException) -> dict[str, Any]:
    return {
        "type": type(error).__name__,
        "message": storable(_text_of(error))[:LONGEST_MESSAGE],
    }


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return "(the error cannot be told: its __str__ raises)"


def storable(text: str) -> str:
    """Text that PostgreSQL can hold."""
    return text.replace("\x00", "\\0").encode(errors="replace").decode()
