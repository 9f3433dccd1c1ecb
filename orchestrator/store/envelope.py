"""What an encrypted value looks like, and reading JSON in which some values are."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from orchestrator.domain.errors import ConfigurationError


class Opener(Protocol):
    """Whoever has the keys."""

    def open(self, value: dict[str, Any]) -> Any:
        """What was sealed; anything else as it is."""


def is_sealed(value: object) -> bool:
    """Whether this is what `seal` has made."""
    return isinstance(value, dict) and value.keys() == {"$enc", "key"}


def reader(opener: Opener | None) -> Callable[[bytes | str], Any]:
    """`json.loads` for what PostgreSQL answers, with everything that is sealed opened."""
    # No closure: psycopg keeps what it makes of such an object, and of one function only once.
    return _loads if opener is None else partial(_loads, opener=opener)


def _loads(text: bytes | str, opener: Opener | None = None) -> Any:
    plain = text if isinstance(text, str) else text.decode()
    if '"$enc"' not in plain:
        return json.loads(plain)
    return json.loads(plain, object_hook=_without_keys if opener is None else opener.open)


def _without_keys(value: dict[str, Any]) -> dict[str, Any]:
    if is_sealed(value):
        raise ConfigurationError(
            "Payloads here are encrypted: set ORCHESTRATOR_ENCRYPTION_KEY as it is set elsewhere."
        )
    return value
