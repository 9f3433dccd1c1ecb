"""How far an agent says that it is."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Self

from orchestrator.domain.errors import InvalidRequest

#: Characters that are kept of a message.
LONGEST_MESSAGE = 200


@dataclass(frozen=True)
class Progress:
    """What an instance told last."""

    #: how much is done, from 0 to 1; None where that cannot be said
    fraction: float | None
    message: str
    at: datetime
    #: the attempt that told it
    attempt: int

    def to_dict(self) -> dict[str, Any]:
        """The progress as JSON."""
        return asdict(self) | {"at": self.at.isoformat()}

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> Self:
        """The progress that `to_dict` wrote."""
        return cls(**value | {"at": datetime.fromisoformat(value["at"])})

    def __str__(self) -> str:
        percent = "" if self.fraction is None else f"{self.fraction:.0%}"
        return f"{percent} {self.message}".strip()


def check_progress(fraction: object, message: object) -> tuple[float | None, str]:
    """Both as they are recorded; raises `InvalidRequest`."""
    is_number = isinstance(fraction, int | float) and not isinstance(fraction, bool)
    if fraction is not None and not (
        is_number and math.isfinite(fraction) and 0 <= fraction <= 1  # type: ignore[arg-type, operator]  # it is a number
    ):
        raise InvalidRequest(
            "INVALID_PROGRESS",
            f"The progress is {fraction!r}; it is a number from 0 to 1, or None.",
        )
    if not isinstance(message, str):
        raise InvalidRequest("INVALID_PROGRESS", f"The message is {message!r}; it is a text.")
    text = message if len(message) <= LONGEST_MESSAGE else message[: LONGEST_MESSAGE - 1] + "…"
    # PostgreSQL holds neither.
    text = text.replace("\x00", "").encode(errors="replace").decode()
    return (None if fraction is None else float(fraction)), text  # type: ignore[arg-type]  # checked
