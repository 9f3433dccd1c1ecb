"""The five classes of urgency."""

from __future__ import annotations

from enum import IntEnum

from orchestrator.domain.errors import InvalidSpawn


class Priority(IntEnum):
    """Smaller is more urgent, as in a Redis-backed broker queue."""

    CRITICAL = 0
    HIGH = 1
    NORMAL = 2
    LOW = 3
    BACKGROUND = 4

    @property
    def label(self) -> str:
        """The name users write: `critical`, `high`, ..."""
        return self.name.lower()


def parse_priority(value: str | Priority) -> Priority:
    """The priority of this name; `InvalidSpawn` lists the names for anything else."""
    if isinstance(value, Priority):
        return value
    try:
        return Priority[value.upper()]
    except (KeyError, AttributeError):
        names = ", ".join(priority.label for priority in Priority)
        raise InvalidSpawn(
            "INVALID_PRIORITY", f"{value!r} is not a priority. Choose one of: {names}."
        ) from None
