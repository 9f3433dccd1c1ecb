"""What the tables ask before they write a payload: as it is, or encrypted (`store/vault.py`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class Sealer(Protocol):
    """Makes of JSON text what stands in the row."""

    def learn(self, instance_id: str, tenant: str, session: str) -> None:
        """Whose an instance is, for `seal_of`."""

    def seal(self, tenant: str, session: str, text: str) -> str:
        """A payload of a session, as JSON text."""

    def seal_of(self, instance_id: str, text: str) -> str:
        """A payload of an instance."""

    def seal_error(self, instance_id: str, error: Mapping[str, Any]) -> dict[str, Any]:
        """An error of an instance, whose type and attempts can be told without a key."""


class Plain:
    """Everything as it is."""

    def learn(self, instance_id: str, tenant: str, session: str) -> None:
        """Nothing to know."""

    def seal(self, tenant: str, session: str, text: str) -> str:
        """The text."""
        return text

    def seal_of(self, instance_id: str, text: str) -> str:
        """The text."""
        return text

    def seal_error(self, instance_id: str, error: Mapping[str, Any]) -> dict[str, Any]:
        """The error."""
        return dict(error)
