"""Identifiers that sort by the time they were made."""

from __future__ import annotations

import os
import time
import uuid

from orchestrator.domain.errors import InvalidRequest


def new_id() -> str:
    """A UUID of version 7 (RFC 9562, section 5.7) in its 36-character text form.

    48 bits of Unix milliseconds lead, so rows made one after another lie beside each
    other in an index; 74 random bits make two ids of one millisecond distinct.
    """
    milliseconds = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(10), "big")
    value = (milliseconds & 0xFFFFFFFFFFFF) << 80
    value |= 0x7000 << 64 | (random >> 68) << 64
    value |= 0b10 << 62 | random & 0x3FFFFFFFFFFFFFFF
    return str(uuid.UUID(int=value))


def parse_id(text: str) -> str:
    """The canonical form of an instance id, or `InvalidRequest` for anything else."""
    try:
        return str(uuid.UUID(text))
    except (ValueError, AttributeError, TypeError):
        raise InvalidRequest(
            "INVALID_ID",
            f"{text!r} is not an instance id. Use the 36-character id that a spawn returned.",
        ) from None
