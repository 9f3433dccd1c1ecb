"""What agents, pools, sessions and tenants may be called."""

from __future__ import annotations

import re

from orchestrator.domain.errors import InvalidSpawn

#: Agents and pools are part of queue names and of the wire format, so they stay plain.
_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./-]{0,99}")
#: Sessions and tenants are the users' own: anything printable.
_MAX_LABEL = 200


def is_identifier(name: object) -> bool:
    """Whether this can name an agent or a pool."""
    return isinstance(name, str) and _IDENTIFIER.fullmatch(name) is not None


def check_identifier(kind: str, name: object) -> None:
    """Refuse a name of an agent or a pool that the wire format cannot carry."""
    if not is_identifier(name):
        raise InvalidSpawn(
            "INVALID_NAME",
            f"{name!r} cannot name {kind}: use 1 to 100 letters, digits and _ . / - , "
            "beginning with a letter or digit.",
        )


def is_label(name: object) -> bool:
    """Whether this can name what users name themselves."""
    return isinstance(name, str) and 0 < len(name) <= _MAX_LABEL and name.isprintable()


def check_label(kind: str, name: object) -> None:
    """Refuse a name of a session, tenant or key that is empty, too long or unprintable."""
    if not is_label(name):
        raise InvalidSpawn(
            "INVALID_NAME",
            f"{name!r} cannot be {kind}: use 1 to {_MAX_LABEL} printable characters.",
        )
