"""What the agents of a session share."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class SharedValue:
    """One version of one key."""

    key: str
    #: of the session: each change of any key is the next one
    version: int
    #: None where the key was taken away, or holds `null`
    value: Any
    #: whether the key was taken away
    is_deleted: bool
    #: the id of the instance that wrote it; None for a service
    set_by: str | None
    set_at: datetime

    def to_dict(self) -> dict[str, Any]:
        """The value as JSON."""
        return asdict(self) | {"set_at": self.set_at.isoformat()}

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> SharedValue:
        """The value that `to_dict` wrote."""
        return cls(**value | {"set_at": datetime.fromisoformat(value["set_at"])})
